/* bench/rules.c - lib/rules by itself: loading, judging, counting. bench/rules.py makes the files and shows the figures.
 *	rules match FILE EVENTS...		for each event: its number and the ids (or titles) of the rules that match
 *	rules rate SECONDS INDEX FILE EVENTS	events/s over and over, on one core, parsing included; INDEX 0 switches the index off
 *	rules count VALUES KEYS			value_count over so many different values and group keys: rate, memory, evictions
 *	rules stream FILE EVENTS		one pass with correlations, time of an event = its number in milliseconds
 *	rules lines RAW FILE LINES		one pass over lines of a log, with correlations: RAW 1 judges the text, 0 the JSON in it (product
 *						jumpserver)
 * FILE has one path of a rule file a line; EVENTS has one event a line: category TAB product TAB service TAB JSON ("*" as
 * category: judged by all rules). One line of JSON is the result. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/str.h"
#include "rules/corr.h"

struct events {
	struct sp_rules_event	*v;
	size_t			 n;
	char			*text;
	size_t			 bytes;
};

/* Time of this process on its core: what others do on a shared machine is not ours. */
static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "rules: %s: %s\n", what, why);
	exit(1);
}

static void
must(enum sp_err r, const char *what)
{
	if (r != SP_OK)
		die(what, sp_err_text(r));
}

static char *
slurp(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *p;
	long n;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) != 0 || (p = malloc((size_t)n + 1)) == NULL ||
	    fread(p, 1, (size_t)n, f) != (size_t)n)
		die(path, "cannot be read");
	fclose(f);
	p[n] = '\0';
	*ret_n = (size_t)n;
	return p;
}

/* The fields that the Kubernetes rules of the corpus name without their path. */
static const char *const aliases[][2] = {
	{ "hostPath", "requestObject.spec.volumes.hostPath" },
	{ "capabilities", "requestObject.spec.containers.securityContext.capabilities.add" },
	{ "apiGroup", "objectRef.apiGroup" },
};

static struct sp_rules *
load(const char *list, int index, size_t *ret_failed, double *ret_seconds)
{
	struct sp_rules_builder *b;
	struct sp_rules_error err;
	struct sp_rules *set;
	size_t n, len;
	char *paths = slurp(list, &n), *save = NULL;
	double t = now_s();

	must(sp_rules_builder_new(&(struct sp_rules_opts){ .index = index ? &sp_rules_vectorscan : NULL }, &b), "builder");
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		must(sp_rules_builder_alias(b, "kubernetes", aliases[i][0], aliases[i][1]), "alias");
	for (char *p = strtok_r(paths, "\n", &save); p != NULL; p = strtok_r(NULL, "\n", &save)) {
		char *text = slurp(p, &len);

		if (sp_rules_builder_add(b, p, text, len, &err) != SP_OK) {
			fprintf(stderr, "%s:%u: %s\n", err.file, err.line, err.why);
			++*ret_failed;
		}
		free(text);
	}
	if (sp_rules_compile(b, &err, &set) != SP_OK)
		die(err.file, err.why);
	*ret_seconds = now_s() - t;
	sp_rules_builder_free(b);
	free(paths);
	return set;
}

static struct events
read_events(const char *path)
{
	struct events e = { 0 };
	size_t n, cap = 0;
	char *save = NULL;

	e.text = slurp(path, &n);
	for (char *line = strtok_r(e.text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char *part[4] = { line };

		for (size_t i = 1; i < 4; i++) {
			if ((part[i] = strchr(part[i - 1], '\t')) == NULL)
				die(path, "a line without its three tabs");
			*part[i]++ = '\0';
		}
		if (e.n == cap) {
			cap = cap ? cap * 2 : 1024;
			if ((e.v = realloc(e.v, cap * sizeof(*e.v))) == NULL)
				die(path, "no memory");
		}
		e.v[e.n] = (struct sp_rules_event){ .category = part[0], .product = part[1], .service = part[2], .json = part[3],
		    .json_len = strlen(part[3]), .any_source = part[0][0] == '*' };
		e.bytes += e.v[e.n++].json_len;
	}
	return e;
}

static const char *
rule_name(const struct sp_rules *set, size_t i)
{
	const struct sp_rules_info *info = sp_rules_info(set, i);

	return info->id[0] != '\0' ? info->id : info->title;
}

static int
do_match(char **argv)
{
	struct sp_rules_scratch *s;
	struct sp_rules_hits hits;
	size_t failed = 0;
	double seconds;
	struct sp_rules *set = load(argv[0], 1, &failed, &seconds);
	struct events e = read_events(argv[1]);

	must(sp_rules_scratch_new(set, &s), "scratch");
	for (size_t i = 0; i < e.n; i++) {
		must(sp_rules_eval(s, &e.v[i], &hits), "an event");
		printf("%zu", i);
		for (size_t k = 0; k < hits.n; k++)
			printf("\t%s", rule_name(set, hits.rule[k]));
		printf("\n");
	}
	return failed != 0;
}

static int
do_rate(char **argv)
{
	double limit = strtod(argv[0], NULL), seconds, t;
	size_t failed = 0, n = 0, matches = 0;
	struct sp_rules *set = load(argv[2], argv[1][0] != '0', &failed, &seconds);
	struct events e = read_events(argv[3]);
	struct sp_rules_scratch *s;
	struct sp_rules_stats stats;
	struct sp_rules_hits hits;
	struct rusage ru;

	if (e.n == 0)
		die(argv[3], "no events");
	must(sp_rules_scratch_new(set, &s), "scratch");
	for (size_t i = 0; i < e.n; i++)	/* once for the matches, and to warm up */
		must(sp_rules_eval(s, &e.v[i], &hits), "an event"), matches += hits.n;
	t = now_s();
	do {
		for (size_t i = 0; i < e.n; i++)
			must(sp_rules_eval(s, &e.v[i], &hits), "an event");
		n += e.n;
	} while (now_s() - t < limit);
	t = now_s() - t;
	sp_rules_stats(s, &stats);
	getrusage(RUSAGE_SELF, &ru);
	printf("{\"rules\":%zu,\"failed\":%zu,\"load_s\":%.3f,\"events\":%zu,\"bytes\":%.0f,\"matches\":%zu,\"rate\":%.0f,\"evaluated\":%.2f,\"rss_mb\":%.0f}\n",
	    sp_rules_n(set), failed, seconds, e.n, (double)e.bytes / (double)e.n, matches, (double)n / t, (double)stats.evaluated / (double)stats.events,
	    (double)ru.ru_maxrss / 1024);
	return 0;
}

static void
count_fire(const struct sp_corr_fire *f, void *arg)
{
	++*(size_t *)arg;
}

static int
do_stream(char **argv)
{
	size_t failed = 0, fires = 0;
	double seconds, t;
	struct sp_rules *set = load(argv[0], 1, &failed, &seconds);
	struct events e = read_events(argv[1]);
	struct sp_rules_scratch *s;
	struct sp_rules_hits hits;
	struct sp_corr *c;

	must(sp_rules_scratch_new(set, &s), "scratch");
	must(sp_corr_new(set, NULL, &c), "correlations");
	t = now_s();
	for (size_t i = 0; i < e.n; i++) {
		must(sp_rules_eval(s, &e.v[i], &hits), "an event");
		must(sp_corr_feed(c, s, &hits, (int64_t)i * 1000, i, count_fire, &fires), "counting");
	}
	t = now_s() - t;
	printf("{\"events\":%zu,\"fires\":%zu,\"rate\":%.0f}\n", e.n, fires, (double)e.n / t);
	return 0;
}

/* What others read from a file: a line at a time. */
static int
do_lines(char **argv)
{
	int raw = argv[0][0] != '0';
	size_t failed = 0, fires = 0, n, lines = 0, matches = 0;
	double seconds, t;
	struct sp_rules *set = load(argv[1], 1, &failed, &seconds);
	char *text = slurp(argv[2], &n);
	struct sp_rules_scratch *s;
	struct sp_rules_hits hits;
	struct sp_corr *c;

	must(sp_rules_scratch_new(set, &s), "scratch");
	must(sp_corr_new(set, NULL, &c), "correlations");
	t = now_s();
	for (const char *p = text, *end = text + n; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl != NULL ? nl : end, *json = memchr(p, '{', (size_t)(stop - p));
		struct sp_rules_event ev = { .product = "jumpserver", .any_source = raw };

		if (raw) {
			ev.raw = p;
			ev.raw_len = (size_t)(stop - p);
		} else {
			ev.json = json != NULL ? json : stop;
			ev.json_len = (size_t)(stop - ev.json);
		}
		must(sp_rules_eval(s, &ev, &hits), "a line");
		must(sp_corr_feed(c, s, &hits, (int64_t)lines * 1000, lines, count_fire, &fires), "counting");
		matches += hits.n;
		lines++;
		p = stop + 1;
	}
	t = now_s() - t;
	printf("{\"lines\":%zu,\"matches\":%zu,\"fires\":%zu,\"rate\":%.0f}\n", lines, matches, fires, (double)lines / t);
	return 0;
}

static int
do_count(char **argv)
{
	static const char rule[] = "title: base\nname: base\nlogsource:\n  product: p\ndetection:\n  s:\n    k: 1\n  condition: s\n---\n"
	    "title: values\ncorrelation:\n  type: value_count\n  rules: base\n  group-by: host\n  timespan: 1d\n  condition:\n    field: v\n    gte: 1000000\n---\n"
	    "title: keys\ncorrelation:\n  type: value_count\n  rules: base\n  group-by: key\n  timespan: 1d\n  condition:\n    field: v\n    gte: 20\n";
	unsigned long values = strtoul(argv[0], NULL, 10), keys = strtoul(argv[1], NULL, 10);
	struct sp_rules_field f[] = { { "k", "1", 1, SP_RULES_TEXT }, { "host", "h", 1, SP_RULES_TEXT }, { "v", NULL, 0, SP_RULES_TEXT },
	    { "key", NULL, 0, SP_RULES_TEXT } };
	struct sp_rules_event ev = { .product = "p", .field = f, .n_fields = 4 };
	struct sp_rules_builder *b;
	struct sp_rules_scratch *s;
	struct sp_rules_error err;
	struct sp_corr_stats stats;
	struct sp_rules_hits hits;
	struct sp_rules *set;
	struct sp_corr *c;
	char v[32], k[32];
	size_t fires = 0;
	double t;

	must(sp_rules_builder_new(NULL, &b), "builder");
	if (sp_rules_builder_add(b, "bench", rule, sizeof(rule) - 1, &err) != SP_OK || sp_rules_compile(b, &err, &set) != SP_OK)
		die("bench", err.why);
	must(sp_rules_scratch_new(set, &s), "scratch");
	must(sp_corr_new(set, NULL, &c), "correlations");
	t = now_s();
	for (unsigned long i = 0; i < values; i++) {
		sp_snprintf(v, sizeof(v), "value-%lu", i);
		sp_snprintf(k, sizeof(k), "key-%lu", i * 7919 % keys);
		f[2].value = v;
		f[2].len = strlen(v);
		f[3].value = k;
		f[3].len = strlen(k);
		must(sp_rules_eval(s, &ev, &hits), "an event");
		must(sp_corr_feed(c, s, &hits, (int64_t)i, i, count_fire, &fires), "counting");
	}
	t = now_s() - t;
	sp_corr_stats(c, &stats);
	printf("{\"values\":%lu,\"keys\":%lu,\"rate\":%.0f,\"memory_mb\":%.1f,\"groups\":%" PRIu64 ",\"evicted\":%" PRIu64 ",\"fires\":%zu}\n", values, keys,
	    (double)values / t, (double)stats.memory / 1048576, stats.groups, stats.evicted, fires);
	sp_corr_free(c);
	sp_rules_scratch_free(s);
	sp_rules_free(set);
	sp_rules_builder_free(b);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "match") == 0)
		return do_match(argv + 2);
	if (argc == 6 && strcmp(argv[1], "rate") == 0)
		return do_rate(argv + 2);
	if (argc == 4 && strcmp(argv[1], "stream") == 0)
		return do_stream(argv + 2);
	if (argc == 5 && strcmp(argv[1], "lines") == 0)
		return do_lines(argv + 2);
	if (argc == 4 && strcmp(argv[1], "count") == 0)
		return do_count(argv + 2);
	fprintf(stderr, "usage: rules match FILE EVENTS | rate SECONDS INDEX FILE EVENTS | stream FILE EVENTS | lines RAW FILE LINES | count VALUES KEYS\n");
	return 2;
}
