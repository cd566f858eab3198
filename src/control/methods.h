/* src/control/methods.h - the functions that methods.def names. */
#ifndef SP_CONTROL_METHODS_H
#define SP_CONTROL_METHODS_H

#include "control/api.h"

api_fn		detection_add, detection_delete, detection_disable, detection_enable, detection_install, detection_list, detection_show, alert_list, offense_list,
		offense_show, offense_categories, offense_assign, offense_note, offense_protect, offense_close, offense_allow,
		access_explain, access_who, account_create, account_delete, account_list, account_show,
		account_update, asset_claim, asset_claims, asset_confirm, asset_create, asset_delete, asset_group_create, asset_group_delete,
		asset_group_list, asset_list, asset_member_add, asset_member_remove, asset_prove, asset_reject, asset_show, asset_update, auditor_key_add, auditor_key_list, auditor_key_remove,
		evidence_cosign, evidence_erase, evidence_head, evidence_new_origin, evidence_witness_add, evidence_witness_remove,
		ca_create, ca_list, ca_show, department_create, department_delete, department_list,
		department_show, department_update, export_rows, file_search, grant_create, grant_delete, grant_list, grant_show,
		backup_begin, backup_end, breakglass_create, breakglass_list, breakglass_seal, quarantine_release, quarantine_status,
		group_create, group_delete, group_list, group_member_add, group_member_remove, group_show,
		hostkey_list, hostkey_remove, hostkey_set, import_abort, import_begin,
		import_commit, import_rows, import_secret, recording_delete, recording_hold, recording_header, recording_list, recording_open, recording_policy_list, recording_policy_remove, recording_policy_set, recording_release, recording_retention, recording_rewrap, recording_unwrap, recording_vault_list, recording_vault_remove, recording_vault_set, rows_accept, rows_check, rows_remove, secret_reveal, session_find, session_kill,
		command_search, session_list, session_lock, session_show, sys_audit_list, sys_doctor, sys_known_hosts,
		sys_outbox_list, sys_settings_get, sys_settings_set, sys_status, user_create, user_delete,
		user_disable, user_enable, user_key_add, user_key_list, user_key_remove, user_list, user_password,
		user_show, user_totp_confirm, user_totp_enrol, user_totp_remove, user_totp_show, user_update,
		vault_init, vault_rekey, vault_rotate, vault_seal, vault_slot_add,
		vault_slot_remove, vault_unseal,
		outbox_secret, outbox_test,
		rule_set_add, rule_set_apply, rule_set_delete, rule_set_install, rule_set_list, rule_set_show, rule_set_unapply, command_rule_add,
		command_rule_delete, command_rule_list, command_rule_show, command_rule_test, command_rule_update, grant_commands,
		zone_create, zone_delete, zone_list, zone_show, zone_update;
api_loop_fn	detection_changed_loop, siem_status_loop, recording_delete_loop, recording_retention_loop, outbox_secret_loop, outbox_status_loop, outbox_test_loop, backup_begin_loop, quarantine_release_loop, quarantine_status_loop, import_commit_loop, rows_check_loop, rows_mended_loop, session_kill_loop, session_list_loop, session_message_loop, session_show_loop, session_watch_loop,
		evidence_erase_loop, evidence_head_loop, evidence_new_origin_loop, evidence_status_loop,
		sys_doctor_loop, sys_status_loop, user_totp_changed, vault_rotated_loop, vault_status_loop;

#endif
