/* tests/unit/lib/rules/rulestest.h - load rules from text and judge one event; what most tests of lib/rules need. */
#ifndef RULESTEST_H
#define RULESTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "rules/rules.h"

struct fx {
	struct sp_rules_builder	*b;
	struct sp_rules		*set;
	struct sp_rules_scratch	*s;
	struct sp_rules_error	 err;
};

void	 fx_open(struct fx *f, const struct sp_rules_index_ops *index);
void	 fx_add(struct fx *f, const char *yaml);		/* must load */
void	 fx_ready(struct fx *f);				/* must compile */
void	 fx_close(struct fx *f);
/* A rule with this detection section ("selection: ...\ncondition: ..."), indented by the caller with two blanks. */
char	*fx_rule(const char *detection, char *dst, size_t size);
/* 1 or 0: does a rule with this detection match this JSON? Judged with and without the index, which must agree. */
int	 fx_match(const char *detection, const char *json);
/* The reason why this text does not load (or compile); fails the test if it does. */
const char *fx_why(const char *yaml, struct sp_rules_error *ret);

#endif
