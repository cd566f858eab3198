/* lib/rules/rules.h - Sigma 2.1: rules in YAML are loaded, compiled once, and then judged against events.
 * Used by the session (command control: a table of named fields, no JSON) and by siem (JSON events and correlations).
 * Pure: no I/O, no logging, no clock; what the specification leaves open is decided in docs/rules.md.
 *
 * Life:   sp_rules_builder_new -> _add (each file) -> sp_rules_compile -> struct sp_rules (immutable; threads may share it)
 *         sp_rules_scratch_new (one per thread) -> sp_rules_eval (each event; allocates nothing once it has seen its largest event)
 *         Correlations keep state between events: rules/corr.h.
 *
 * Invariants: (1) a rule that was added is compiled or the compilation fails: nothing is skipped silently. (2) The index only
 * leaves out rules that cannot match: hits are the same without it. (3) Everything from outside (YAML, JSON, saved state) is bounded. */
#ifndef SP_RULES_RULES_H
#define SP_RULES_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SP_RULES_FILE_MAX	((size_t)16 << 20)	/* bytes of one YAML file */
#define SP_RULES_EVENT_MAX	((size_t)16 << 20)	/* bytes of one JSON event */
#define SP_RULES_N_MAX		100000			/* documents in one set */
#define SP_RULES_VALUES_MAX	65536			/* scalar values of one event */

/* ---- loading ---- */

struct sp_rules_error {
	char		file[128];	/* as given to _add, cut */
	unsigned	line;		/* from 1; 0: the file as a whole */
	char		why[256];	/* one line, plain text */
};
enum sp_rules_kind { SP_RULES_DETECTION, SP_RULES_CORRELATION, SP_RULES_FILTER };

struct sp_rules;
struct sp_rules_builder;
struct sp_rules_index_ops;				/* a literal matcher */
extern const struct sp_rules_index_ops sp_rules_vectorscan;	/* link rules_hs_dep for it; rules_dep alone has no Vectorscan */

struct sp_rules_opts {
	const struct sp_rules_index_ops	*index;		/* NULL: no index, every routed rule is evaluated (right below some 100 rules) */
	int				 keep_base;	/* hits of rules that a correlation uses are reported as if `generate: true` */
};

/* opts borrowed for the call; NULL: all zero. */
enum sp_err	 sp_rules_builder_new(const struct sp_rules_opts *opts, struct sp_rules_builder **ret) SP_MUST_USE;
void		 sp_rules_builder_free(struct sp_rules_builder *b);
/* Values of %name% for the modifier `expand`; borrowed for the call. A rule with a placeholder that was never given is refused. */
enum sp_err	 sp_rules_builder_placeholder(struct sp_rules_builder *b, const char *name, const char *const *value, size_t n) SP_MUST_USE;
/* For rules whose log source names this product (NULL: all rules), the field `name` is found at `path` (dotted), too. */
enum sp_err	 sp_rules_builder_alias(struct sp_rules_builder *b, const char *product, const char *name, const char *path) SP_MUST_USE;
/* Load every document of one YAML text; text borrowed for the call, `file` only names it in errors.
 * SP_EFORMAT, SP_ESIZE: *err says where and why; the builder keeps nothing of that file and can go on. SP_ENOMEM. */
enum sp_err	 sp_rules_builder_add(struct sp_rules_builder *b, const char *file, const void *text, size_t len,
    struct sp_rules_error *err) SP_MUST_USE;
/* Resolve references between documents, apply filters, build routes and the index. The builder stays valid (add more, compile
 * again). Rules keep the order in which they were added; filters are merged into rules and have no index of their own.
 * SP_EFORMAT with *err: an unknown or ambiguous rule in a correlation or filter, a cycle, an id given twice. */
enum sp_err	 sp_rules_compile(struct sp_rules_builder *b, struct sp_rules_error *err, struct sp_rules **ret) SP_MUST_USE;
void		 sp_rules_free(struct sp_rules *r);

/* ---- what was loaded ---- */

struct sp_rules_info {			/* all texts borrowed from the set, "" when not given */
	enum sp_rules_kind	 kind;	/* DETECTION or CORRELATION */
	const char		*id, *name, *title, *level, *status, *description, *author;
	const char		*category, *product, *service;	/* of the log source */
	const char		*file;
	unsigned		 line;
	int			 silent;	/* only there for a correlation, without `generate`: not for people */
};
size_t		 sp_rules_n(const struct sp_rules *r);
const struct sp_rules_info *sp_rules_info(const struct sp_rules *r, size_t i);	/* i < sp_rules_n */
/* Any other scalar of the document by its dotted path ("sallyport.priority", "custom.x"; list members by number: "tags.0",
 * "sallyport.responses.1.kind"); NULL if there is none. This is how callers keep their own settings in a rule. */
const char	*sp_rules_attr(const struct sp_rules *r, size_t i, const char *path);
/* Number of members of a list at this path, 0 if there is none. */
size_t		 sp_rules_attr_n(const struct sp_rules *r, size_t i, const char *path);
/* An index was asked for, and there is one: not without literals, nor on a machine that Vectorscan does not run on. */
int		 sp_rules_has_index(const struct sp_rules *r);
int		 sp_rules_reads(const struct sp_rules *r, size_t i, const char *field);	/* its detection looks at this field */

/* ---- events ---- */

enum sp_rules_type {
	SP_RULES_TEXT,		/* any text, numerals included: "4688" equals 4688 */
	SP_RULES_NULL,		/* present, without a value */
	SP_RULES_UNKNOWN,	/* nobody knows: what a rule makes of it is its `sallyport: unknown: match|skip` (default skip) */
};
struct sp_rules_field {
	const char		*name;		/* as rules name it: "CommandLine", "user.name" */
	const char		*value;		/* borrowed, need not end with a NUL; NULL is ok with len 0 */
	size_t			 len;
	enum sp_rules_type	 type;
};
/* One event: JSON, a table of fields, or both. A field that comes more than once has several values: any of them may match. */
struct sp_rules_event {
	const char			*category, *product, *service;	/* its log source; NULL: it has none, and rules that name one do not match */
	int				 any_source;	/* do not route: judge by all rules */
	const char			*json;		/* one object; NULL: none. Nested members are "a.b", arrays are any member */
	size_t				 json_len;
	const struct sp_rules_field	*field;
	size_t				 n_fields;
	const char			*raw;		/* the text as received, for keyword lists (besides every value); NULL: none */
	size_t				 raw_len;
};
struct sp_rules_hits {
	const uint32_t	*rule;		/* indexes of matching detection rules, ascending; valid until the next eval with this scratch */
	size_t		 n;
	const uint8_t	*unknown;	/* per hit: 1 if it only matched because of `unknown: match` */
};
struct sp_rules_scratch;
/* For one thread and one set, which must outlive it. */
enum sp_err	 sp_rules_scratch_new(const struct sp_rules *r, struct sp_rules_scratch **ret) SP_MUST_USE;
void		 sp_rules_scratch_free(struct sp_rules_scratch *s);
/* Judge one event. Everything of ev is borrowed until the next eval with this scratch (hits refer to it).
 * SP_EFORMAT: not one JSON object; SP_ESIZE: too large, too deep or too many values; SP_ENOMEM. Never a partial answer. */
enum sp_err	 sp_rules_eval(struct sp_rules_scratch *s, const struct sp_rules_event *ev, struct sp_rules_hits *ret) SP_MUST_USE;
/* One detection rule in words: its condition as a tree, the verdict of each part, what the event has. Appends lines to ret (plain
 * text); *ret_match: the verdict, log source included. SP_EINVAL for a correlation; otherwise as sp_rules_eval. */
enum sp_err	 sp_rules_explain(struct sp_rules_scratch *s, size_t rule, const struct sp_rules_event *ev, struct sp_buf *ret,
    int *ret_match) SP_MUST_USE;
/* The i-th value of a field of the last event, borrowed until the next eval; 0 if there is none. Fields that no rule reads are
 * not kept: name those that you want with sp_rules_builder_want. */
int		 sp_rules_value(const struct sp_rules_scratch *s, const char *field, size_t i, struct sp_view *ret);
enum sp_err	 sp_rules_builder_want(struct sp_rules_builder *b, const char *field) SP_MUST_USE;
/* Counters since the scratch was made: events, rules evaluated, regexes that hit their limits (they count as no match). */
struct sp_rules_stats {
	uint64_t	events, evaluated, regex_limit;
};
void		 sp_rules_stats(const struct sp_rules_scratch *s, struct sp_rules_stats *ret);

#endif
