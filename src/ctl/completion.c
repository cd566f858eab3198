/* src/ctl/completion.c - sallyport completion: scripts for bash, zsh and fish. They hold no words of their own: the shell
 * asks `sallyport completion words WORD...` for what may stand in place of the last word, which comes from the tables
 * and, for names of objects, from control. */
#include <string.h>

#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

#define COMPLETION_WAIT_MS	700	/* a shell does not wait for a gateway that is down */
#define COMPLETION_ROWS		500	/* names offered */

static const char completion_bash[] =
	"# bash completion for sallyport; source it, or put it into /usr/share/bash-completion/completions/sallyport\n"
	"_sallyport()\n"
	"{\n"
	"\tlocal cur words cword line\n"
	"\tif declare -F _get_comp_words_by_ref >/dev/null; then\n"
	"\t\t_get_comp_words_by_ref -n '@:=' cur words cword\n"
	"\telse\n"
	"\t\twords=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}\n"
	"\tfi\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS= read -r line; do\n"
	"\t\tcase $line in\n"
	"\t\t':file') compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n"
	"\t\t*) COMPREPLY+=(\"$(printf '%q' \"${line%%$'\\t'*}\")\") ;;\n"
	"\t\tesac\n"
	"\tdone < <(\"${words[0]}\" completion words -- \"${words[@]:1:cword}\" 2>/dev/null)\n"
	"\tif declare -F __ltrim_colon_completions >/dev/null; then\n"
	"\t\t__ltrim_colon_completions \"$cur\"\n"
	"\tfi\n"
	"\tif [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *, ]]; then\n"
	"\t\tcompopt -o nospace 2>/dev/null\n"
	"\tfi\n"
	"}\n"
	"complete -F _sallyport sallyport\n";
static const char completion_zsh[] =
	"#compdef sallyport\n"
	"# zsh completion for sallyport; put it into a directory of $fpath as _sallyport\n"
	"_sallyport() {\n"
	"\tlocal line\n"
	"\tlocal -a got\n"
	"\tfor line in \"${(@f)$(\"${words[1]}\" completion words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
	"\t\tif [[ $line == ':file' ]]; then _files; elif [[ -n $line ]]; then got+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\"); fi\n"
	"\tdone\n"
	"\t(( ${#got} )) && _describe -t values sallyport got\n"
	"}\n"
	"if [[ $funcstack[1] == _sallyport ]]; then _sallyport \"$@\"; else compdef _sallyport sallyport; fi\n";
static const char completion_fish[] =
	"# fish completion for sallyport; put it into ~/.config/fish/completions/sallyport.fish\n"
	"function __sallyport_words\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l current (commandline -ct)\n"
	"\tfor line in (command $words[1] completion words -- $words[2..-1] \"$current\" 2>/dev/null)\n"
	"\t\tif test \"$line\" = ':file'\n"
	"\t\t\t__fish_complete_path \"$current\"\n"
	"\t\telse\n"
	"\t\t\techo $line\n"
	"\t\tend\n"
	"\tend\n"
	"end\n"
	"complete -c sallyport -f -a '(__sallyport_words)'\n";

/* Nouns whose names complete a value: the question, and the members of a row that make the word. */
static const struct {
	const char	*noun, *method;
	const char	*key, *behind;		/* "key" or "key@behind" */
	const char	*help;			/* member shown beside it */
} completion_lists[] = {
	{ "user", "user.list", "login", NULL, "full_name" },
	{ "group", "group.list", "name", NULL, "remark" },
	{ "department", "department.list", "name", NULL, "description" },
	{ "asset", "asset.list", "name", NULL, "address" },
	{ "asset-group", "asset_group.list", "name", NULL, "remark" },
	{ "account", "account.list", "name", "asset", "kind" },
	{ "ca", "ca.list", "name", NULL, "algorithm" },
	{ "grant", "grant.list", "id", NULL, "name" },
	{ "session", "session.list", "id", NULL, "user" },
};

struct completion {
	struct ctl	*c;
	const char	*word;		/* what is typed so far */
	size_t		 keep;		/* bytes of it that every candidate repeats: "shell," of a list, "--opt=" */
};

static void
completion_offer(const struct completion *k, const char *s, size_t n, const char *help)
{
	const char *typed = k->word + k->keep;
	char safe[256] = "";

	if (n < strlen(typed) || memcmp(s, typed, strlen(typed)) != 0 || !sp_text_is_plain(s, n))
		return;
	if (help != NULL)
		sp_escape(help, strlen(help), safe, sizeof(safe));
	fprintf(k->c->out, "%.*s%.*s%s%s\n", (int)k->keep, k->word, (int)n, s, safe[0] != 0 ? "\t" : "", safe);
}

static void
completion_rows(const struct completion *k, size_t list)
{
	ctl_auto_answer a = { .fd = -1 };
	ctl_auto_json *params = json_pack("{s:i}", "limit", COMPLETION_ROWS);
	size_t i;
	json_t *row;

	if (params != NULL && strcmp(completion_lists[list].noun, "session") == 0)
		json_object_set_new(params, "state", json_string("live"));
	if (ctl_ask(k->c, SP_PROC_CONTROL, completion_lists[list].method, params, COMPLETION_WAIT_MS, &a) != SP_OK)
		return;
	json_array_foreach(a.body, i, row) {
		const char *s = json_string_value(json_object_get(row, completion_lists[list].key)), *at = NULL;
		char word[600];

		if (completion_lists[list].behind != NULL)
			at = json_string_value(json_object_get(row, completion_lists[list].behind));
		if (s == NULL || sp_snprintf(word, sizeof(word), "%s%s%s", s, at != NULL ? "@" : "", at != NULL ? at : "") != 0)
			continue;
		completion_offer(k, word, strlen(word), json_string_value(json_object_get(row, completion_lists[list].help)));
	}
}

/* What may be the value of an option or argument. */
static void
completion_value(struct completion *k, const struct ctl_opt *o)
{
	const char *comma = strrchr(k->word + k->keep, ',');

	if (o->type == CTL_LIST && comma != NULL)
		k->keep = (size_t)(comma + 1 - k->word);
	for (const char *p = o->choices; p != NULL && *p != 0; p += p[strcspn(p, "|")] != 0 ? strcspn(p, "|") + 1 : strlen(p))
		completion_offer(k, p, strcspn(p, "|"), NULL);
	if (o->complete == NULL)
		return;
	if (strcmp(o->complete, "file") == 0) {
		fprintf(k->c->out, ":file\n");
		return;
	}
	/* A new account: its name is free, the asset behind the @ is known. */
	if (o->type == CTL_TARGET && strcmp(o->complete, "asset") == 0) {
		const char *at = strrchr(k->word, '@');

		if (at == NULL)
			return;
		k->keep = (size_t)(at + 1 - k->word);
	}
	for (size_t i = 0; i < SP_NELEMS(completion_lists); i++)
		if (strcmp(completion_lists[i].noun, o->complete) == 0)
			completion_rows(k, i);
}

static void
completion_opts(const struct completion *k, const struct ctl_opt *opts)
{
	for (; opts != NULL && opts->name != NULL; opts++) {
		char name[80];

		sp_snprintf(name, sizeof(name), "--%s", opts->name);
		completion_offer(k, name, strlen(name), opts->help);
	}
}

static const struct ctl_opt *
completion_find(const struct ctl_opt *opts, const char *word)
{
	size_t n = strcspn(word + 2, "=");

	for (; opts != NULL && opts->name != NULL; opts++)
		if (strlen(opts->name) == n && memcmp(opts->name, word + 2, n) == 0)
			return opts;
	return NULL;
}

static const struct ctl_opt *
completion_option(const struct ctl_cmd *cmd, const char *word)
{
	const struct ctl_opt *o = cmd != NULL ? completion_find(cmd->opts, word) : NULL;

	return o != NULL ? o : completion_find(ctl_global_opts, word);
}

/* The next words of verbs that begin with what is typed. */
static void
completion_verbs(const struct completion *k, const struct ctl_noun *n, char **words, int count)
{
	for (const struct ctl_cmd *cmd = n->cmds; cmd->verb != NULL; cmd++) {
		const char *v = cmd->verb;
		int i = 0, repeated = 0;

		for (; i < count && *v != 0; i++) {
			size_t len = strcspn(v, " ");

			if (strlen(words[i]) != len || memcmp(words[i], v, len) != 0)
				break;
			v += len + (v[len] == ' ');
		}
		if (i < count || *v == 0)
			continue;
		for (const struct ctl_cmd *e = n->cmds; e < cmd; e++)	/* "member" of "member add", "member remove": once */
			repeated |= strncmp(e->verb, cmd->verb, (size_t)(v - cmd->verb) + strcspn(v, " ") + 1) == 0;
		if (!repeated)
			completion_offer(k, v, strcspn(v, " "), v[strcspn(v, " ")] == 0 ? cmd->help : NULL);
	}
}

/* words[0..count-1] stand before the word that is completed. */
static void
completion_words(struct completion *k, char **words, int count)
{
	const struct ctl_noun *n = NULL;
	const struct ctl_cmd *cmd = NULL;
	const struct ctl_opt *wants = NULL, *arg;
	char *plain[64];
	int plain_n = 0, used = 0;

	for (int i = 0; i < count; i++) {
		if (wants != NULL) {
			wants = NULL;
			continue;
		}
		if (strncmp(words[i], "--", 2) == 0) {
			if (n != NULL)
				cmd = ctl_cmd_find(n, plain_n, plain, &used);
			wants = completion_option(cmd, words[i]);
			if (wants != NULL && (wants->type == CTL_FLAG || strchr(words[i], '=') != NULL))
				wants = NULL;
		} else if (n == NULL) {
			if ((n = ctl_noun_find(words[i])) == NULL)
				return;
		} else if (plain_n < (int)SP_NELEMS(plain)) {
			plain[plain_n++] = words[i];
		}
	}
	if (n != NULL)
		cmd = ctl_cmd_find(n, plain_n, plain, &used);
	if (wants != NULL) {
		completion_value(k, wants);
		return;
	}
	if (strncmp(k->word, "--", 2) == 0 && strchr(k->word, '=') != NULL) {
		if ((wants = completion_option(cmd, k->word)) != NULL) {
			k->keep = (size_t)(strchr(k->word, '=') + 1 - k->word);
			completion_value(k, wants);
		}
		return;
	}
	if (k->word[0] == '-') {
		completion_opts(k, cmd != NULL ? cmd->opts : NULL);
		completion_opts(k, ctl_global_opts);
		return;
	}
	if (n == NULL) {
		for (size_t i = 0; ctl_nouns[i] != NULL; i++)
			completion_offer(k, ctl_nouns[i]->name, strlen(ctl_nouns[i]->name), ctl_nouns[i]->help);
		return;
	}
	if (cmd == NULL || cmd->verb[0] == 0)
		completion_verbs(k, n, plain, plain_n);
	if (cmd == NULL)
		return;
	for (arg = cmd->args; arg != NULL && arg->name != NULL && plain_n > used; plain_n--)
		if (arg->type != CTL_WORDS && arg->type != CTL_RAW && arg->type != CTL_LIST && arg->type != CTL_LINES)
			arg++;
	if (n == &ctl_noun_help) {
		const struct ctl_noun *about = plain_n > 0 ? ctl_noun_find(plain[0]) : NULL;

		if (plain_n == 0)
			for (size_t i = 0; ctl_nouns[i] != NULL; i++)
				completion_offer(k, ctl_nouns[i]->name, strlen(ctl_nouns[i]->name), ctl_nouns[i]->help);
		else if (about != NULL)
			completion_verbs(k, about, plain + 1, plain_n - 1);
		return;
	}
	if (arg != NULL && arg->name != NULL)
		completion_value(k, arg);
}

static enum sp_err
completion_run_words(struct ctl *c)
{
	const json_t *list = json_object_get(c->local, "WORD");
	size_t n = json_array_size(list);
	char *words[128];
	struct completion k = { .c = c };
	int count = 0;

	if (n == 0 || n > SP_NELEMS(words))
		return SP_OK;
	for (size_t i = 0; i + 1 < n; i++)
		if ((words[count] = strdup(json_string_value(json_array_get(list, i)))) != NULL)
			count++;
	k.word = json_string_value(json_array_get(list, n - 1));
	completion_words(&k, words, count);
	for (int i = 0; i < count; i++)
		sp_freep(&words[i]);
	return SP_OK;
}

static enum sp_err
completion_run(struct ctl *c)
{
	const char *shell = c->cmd->verb;

	fputs(strcmp(shell, "bash") == 0 ? completion_bash : strcmp(shell, "zsh") == 0 ? completion_zsh : completion_fish, c->out);
	return SP_OK;
}

static const struct ctl_opt completion_words_args[] = {
	{ "WORD", CTL_RAW, .flags = CTL_LOCAL | CTL_OPTIONAL, .help = "words of a command line, the last one unfinished" },
	CTL_END
};
static const struct ctl_cmd completion_cmds[] = {
	{ "bash", "print the script for bash", .run = completion_run,
	  .more = "For one shell: eval \"$(sallyport completion bash)\"." },
	{ "zsh", "print the script for zsh", .run = completion_run },
	{ "fish", "print the script for fish", .run = completion_run },
	{ "words", "print what may stand in place of the last word; the scripts call it", .args = completion_words_args,
	  .run = completion_run_words },
	{ NULL }
};
const struct ctl_noun ctl_noun_completion = { "completion", "completion for bash, zsh and fish", completion_cmds };
