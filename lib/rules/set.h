/* lib/rules/set.h - inside lib/rules: what a set of rules is made of. The loader fills it, the compiler links it, then it is
 * immutable and the evaluator reads it. Everything lives in the set's arena but what other libraries own (regexes, the index). */
#ifndef SP_RULES_SET_H
#define SP_RULES_SET_H

#include "rules/arena.h"
#include "rules/index.h"
#include "rules/pattern.h"
#include "rules/regex.h"
#include "rules/rules.h"
#include "rules/yaml.h"

#define FIELD_NONE	0xffffu		/* a value that no rule reads by name: for keywords only */
#define FIELDS_MAX	60000
#define COND_DEPTH	64
#define COND_MAX	((size_t)64 << 10)

/* ---- items ---- */

enum match_op { M_PATTERN, M_SET, M_RE, M_CIDR, M_NUMBER, M_FIELDREF, M_NULL, M_EXISTS };
enum cmp { CMP_EQ, CMP_GT, CMP_GTE, CMP_LT, CMP_LTE };
enum time_part { PART_NONE, PART_MINUTE, PART_HOUR, PART_DAY, PART_WEEK, PART_MONTH, PART_YEAR };
struct cidr {
	uint8_t	addr[16];
	uint8_t	bits, v6;
};
struct textset;				/* many whole values, by hash */
struct matcher {
	enum match_op	 op;
	int		 cased;
	struct pattern	 pat;		/* PATTERN; FIELDREF: only its op */
	struct regex	*re;		/* RE */
	struct cidr	 cidr;
	enum cmp	 cmp;		/* NUMBER */
	double		 number;
	uint16_t	 ref;		/* FIELDREF: the other field */
	int		 want;		/* EXISTS */
	const struct textset *set;
	const char	*text;		/* as in the rule, for people and for the literals of a regex */
	size_t		 len;
	int		 plain_re;	/* RE without i: its text may be read for literals */
};
struct item {				/* one "field|modifier: value(s)" */
	uint16_t	 field;		/* FIELD_NONE: keywords, any value */
	int		 all;		/* every matcher must match, not any */
	int		 negate;	/* neq */
	enum time_part	 part;
	const struct matcher *m;
	size_t		 n;
	const char	*key;		/* as written */
	unsigned	 line;
};

/* ---- conditions ---- */

enum cond_op { COND_AND, COND_OR, COND_NOT, COND_ITEM, COND_SEL };
struct selection;
struct cond {
	enum cond_op		  op;
	const struct cond	**sub;		/* AND, OR, NOT */
	size_t			  n;
	const struct item	 *item;		/* ITEM */
	const struct selection	 *sel;		/* SEL */
};
struct selection {
	const char		*name;
	const struct cond	*cond;
	unsigned		 line;
	int			 used;
};
struct detection {
	struct selection	*sel;
	size_t			 n_sel;
	const struct cond	*cond;
};

/* ---- documents ---- */

struct corrdef;
struct rule {
	struct sp_rules_info	 info;
	const struct ynode	*doc;
	struct detection	 det;		/* DETECTION, FILTER */
	struct corrdef		*corr;		/* CORRELATION */
	const struct cond	*cond;		/* after filters */
	uint16_t		 triple;	/* log source */
	int			 unknown_matches;
	int			 generate;
	uint16_t		*field;		/* that its condition reads, ascending */
	size_t			 n_fields;
	int			 keywords;	/* reads every value */
	int			 always;	/* has no necessary literal */
};
struct triple {				/* a log source, folded; "" is any */
	const char	*part[3];	/* category, product, service */
};

/* ---- fields ---- */

struct field {
	const char	*name;		/* as rules write it */
	const char	*product;	/* only for rules of this one (aliases differ), NULL: all */
};
struct path_node {			/* a step of a dotted path through the event */
	uint32_t	 parent;
	uint32_t	 next;		/* in the same bucket, + 1; 0: end */
	const char	*key;
	uint32_t	 len;
	uint32_t	 hash;
	uint16_t	*field;		/* that end here */
	uint16_t	 n_fields;
	uint16_t	 has_children;
};
struct alias {
	const char	*product, *name, *path;
};
struct placeholder {
	const char	*name;
	const char	**value;
	size_t		 n;
};

struct posting {			/* rules of one literal */
	uint32_t	*rule;
	uint32_t	 n;
};

struct sp_rules {
	struct arena		 a;
	struct rule		**rule;		/* detections and correlations, in order; after linking without filters */
	size_t			 n;
	struct rule		**filter;
	size_t			 n_filters;
	struct triple		*triple;
	size_t			 n_triples;
	struct field		*field;
	size_t			 n_fields;
	struct path_node	*path;		/* [0] is the root */
	size_t			 n_paths;
	uint32_t		*bucket;	/* of paths: index + 1 */
	uint32_t		 bucket_mask;
	struct regex		**re;		/* owned */
	size_t			 n_re;
	uint16_t		*want;		/* fields to keep although no rule reads them */
	size_t			 n_want;
	const struct sp_rules_index_ops *ops;
	void			*db;		/* of ops */
	struct posting		*posting;	/* by literal */
	size_t			 n_literals;
	uint32_t		*corr_order;	/* correlations, those that others refer to first */
	size_t			 n_corr;
};

/* What the loader works with. */
struct load {
	struct sp_rules		*set;
	const char		*file;
	struct sp_rules_error	*err;
	const struct alias	*alias;
	size_t			 n_alias;
	const struct placeholder *ph;
	size_t			 n_ph;
	const char		*product;	/* of the rule that is being loaded */
};

/* fields.c */
enum sp_err	 fields_init(struct sp_rules *s) SP_MUST_USE;
/* The number of this field for the rule being loaded. */
enum sp_err	 fields_number(struct load *l, unsigned line, const char *name, uint16_t *ret) SP_MUST_USE;
uint16_t	 fields_find(const struct sp_rules *s, const char *name, size_t from);	/* FIELD_NONE: no (more) such field at or after `from` */
/* The child of a path node, 0: none. hash is path_hash(key, len). */
uint32_t	 path_child(const struct sp_rules *s, uint32_t parent, const char *key, size_t len);
uint32_t	 path_walk(const struct sp_rules *s, uint32_t node, const char *key, size_t len);	/* key may hold dots */

/* item.c */
enum sp_err	 item_load(struct load *l, const struct ynode *key, const struct ynode *value, struct item **ret) SP_MUST_USE;
enum sp_err	 item_keywords(struct load *l, const struct ynode *list, struct item **ret) SP_MUST_USE;
const struct textset *textset_make(struct arena *a, const struct matcher *m, size_t n);	/* NULL: no memory */
int		 textset_has(const struct textset *t, const uint8_t *p, size_t n);
size_t		 textset_get(const struct textset *t, size_t i, const uint8_t **ret);	/* i-th member */
size_t		 textset_n(const struct textset *t);

/* cond.c */
enum sp_err	 detection_load(struct load *l, const struct ynode *det, struct detection *ret) SP_MUST_USE;
/* Parse one expression over names. find gives the node of a name; each calls back for a pattern. */
struct cond_names {
	const struct cond *(*find)(void *arg, const char *name, size_t len);
	/* the i-th name that patterns may choose, NULL at the end */
	const char	*(*name)(void *arg, size_t i);
	void		*arg;
	int		 no_patterns;	/* `1 of x*` is not known here */
};
enum sp_err	 cond_parse(struct load *l, unsigned line, const char *text, size_t len, const struct cond_names *names,
    const struct cond **ret) SP_MUST_USE;
const struct cond *cond_join(struct arena *a, enum cond_op op, const struct cond *const *sub, size_t n);	/* NULL: no memory */

/* load.c */
enum sp_err	 load_document(struct load *l, const struct ynode *doc) SP_MUST_USE;
enum sp_err	 load_source(struct load *l, const struct ynode *ls, int required, struct rule *r) SP_MUST_USE;
int		 source_covers(const struct sp_rules *s, const struct triple *rule, const char *const part[3]);

/* link.c */
enum sp_err	 set_link(struct load *l) SP_MUST_USE;

/* literals.c */
enum sp_err	 literals_build(struct sp_rules *s) SP_MUST_USE;
#define STREAM_MARK	3	/* bytes in front of a value in the stream that the index scans: STREAM_BEGIN, and the field in two */
#define STREAM_BEGIN	1
#define STREAM_END	2
void		 stream_mark(uint16_t field, uint8_t dst[STREAM_MARK]);

/* corrload.c */
enum sp_err	 corr_load(struct load *l, const struct ynode *corr, struct rule *r) SP_MUST_USE;
enum sp_err	 corr_link(struct load *l) SP_MUST_USE;

#endif
