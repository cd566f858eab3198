/* lib/rules/yaml.h - YAML as a tree with line numbers, bounded; on libyaml.
 * Refused: what is not UTF-8, aliases and anchors used by them, tags other than !!str, keys that are not scalars or come twice,
 * depth over YAML_DEPTH, more than YAML_NODES nodes. */
#ifndef SP_RULES_YAML_H
#define SP_RULES_YAML_H

#include "rules/arena.h"
#include "rules/rules.h"

#define YAML_DEPTH	32
#define YAML_NODES	2000000

enum ytype { Y_NULL, Y_BOOL, Y_NUMBER, Y_TEXT, Y_LIST, Y_MAP };
struct ynode {
	enum ytype	  type;
	unsigned	  line;		/* from 1 */
	const char	 *text;		/* scalars: as written, with a NUL (numbers in their canonical form, see num.h) */
	size_t		  len;
	const struct ynode **item;	/* LIST, MAP: values */
	const struct ynode **key;	/* MAP: scalars */
	size_t		  n;
};

/* All documents of a text, in the arena. Errors: *err. */
enum sp_err	 yaml_parse(struct arena *a, const char *file, const void *text, size_t len, const struct ynode ***ret, size_t *ret_n,
    struct sp_rules_error *err) SP_MUST_USE;
const struct ynode *yaml_get(const struct ynode *map, const char *key);		/* NULL: none (or not a map) */
const struct ynode *yaml_path(const struct ynode *map, const char *path);	/* "a.b.0": dotted, list members by number */
int		 yaml_is_scalar(const struct ynode *n);
/* Fill *err; returns e. */
enum sp_err	 rules_error(struct sp_rules_error *err, enum sp_err e, const char *file, unsigned line, const char *fmt, ...)
    SP_PRINTF(5, 6);

#endif
