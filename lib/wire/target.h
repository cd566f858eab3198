/* lib/wire/target.h - what a person types to say where to go, parsed in this one place. Pure.
 *   asset                  account "" : to be asked for
 *   account@asset
 *   user@account@asset     as a login name of ssh, where a plain "asset" would be the user (see the form below)
 * A separator is @, # or %, and a text may mix them: shells, mail-like clients and Windows tools each eat one of them.
 * The account may be empty ("@asset", "user@@asset"): to be asked for, or the only one granted. Names follow
 * sp_name_is_ok() of base/str.h, 1..128 bytes. The text is a name, never a path, a host to resolve or a pattern. */
#ifndef SP_WIRE_TARGET_H
#define SP_WIRE_TARGET_H

#include "base/err.h"
#include "base/attr.h"

#include <stddef.h>

#define SP_TARGET_PART_MAX	128	/* bytes */
#define SP_TARGET_MAX		(3 * SP_TARGET_PART_MAX + 2)

struct sp_target {
	char	user[SP_TARGET_PART_MAX + 1];		/* "" when not named */
	char	account[SP_TARGET_PART_MAX + 1];	/* "" when to be asked for */
	char	asset[SP_TARGET_PART_MAX + 1];		/* "" when to be chosen from the menu (login form only) */
};

/* Where a text comes from says what one or two parts mean. */
enum sp_target_form {
	SP_TARGET_PLACE,	/* SALLYPORT_TARGET, a command argument, -J: asset | account@asset | user@account@asset */
	SP_TARGET_LOGIN		/* the user name of an SSH login: user | user@asset (account asked) | user@account@asset */
};

/* Parse n bytes. Errors, each with a sentence for people in *why (static; why may be NULL):
 *   SP_ESHORT     nothing was given, or the asset (or in a login the user) is empty
 *   SP_ESIZE      the text or a part of it is too long
 *   SP_EUSAGE     more than three parts
 *   SP_EFORMAT    a part is not UTF-8, has control characters, a slash, colon or quote, blanks at its ends, or starts
 *                 with - or . */
enum sp_err	sp_target_parse(const char *text, size_t n, enum sp_target_form form, const char **why,
		    struct sp_target *ret) SP_MUST_USE;
/* Print with '@' as a text that parses, in that form, to the same struct. SP_EINVAL if it cannot be. */
enum sp_err	sp_target_format(const struct sp_target *t, enum sp_target_form form, char *dst, size_t size) SP_MUST_USE;

#endif
