/* src/ctl/nouns.h - the nouns, one file each; main.c puts them in the order of the help. */
#ifndef SP_CTL_NOUNS_H
#define SP_CTL_NOUNS_H

#include "ctl/cmd.h"

extern const struct ctl_noun ctl_noun_user, ctl_noun_group, ctl_noun_department, ctl_noun_asset, ctl_noun_asset_group, ctl_noun_zone, ctl_noun_rule_set, ctl_noun_command_rule,
    ctl_noun_account, ctl_noun_ca, ctl_noun_grant, ctl_noun_session, ctl_noun_command, ctl_noun_file, ctl_noun_auditor, ctl_noun_recording, ctl_noun_vault, ctl_noun_access, ctl_noun_audit,
    ctl_noun_settings, ctl_noun_outbox, ctl_noun_mail, ctl_noun_webhook, ctl_noun_known_hosts, ctl_noun_doctor, ctl_noun_status, ctl_noun_completion,
    ctl_noun_key, ctl_noun_totp, ctl_noun_passwd, ctl_noun_whoami, ctl_noun_version, ctl_noun_help, ctl_noun_import, ctl_noun_export, ctl_noun_sweep,
    ctl_noun_detection, ctl_noun_alert, ctl_noun_offense,
    ctl_noun_backup, ctl_noun_restore, ctl_noun_quarantine, ctl_noun_breakglass, ctl_noun_evidence, ctl_noun_rules;

#define CTL_PROTOCOLS "shell|exec|sftp|scp|forward-local|forward-remote|forward-dynamic|agent|x11"

#endif
