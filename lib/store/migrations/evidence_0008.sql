-- Which command rule decided about a command, and what it did (0: none; enum sp_command_action).
ALTER TABLE commands ADD COLUMN rule_id BLOB;
ALTER TABLE commands ADD COLUMN rule_name TEXT NOT NULL DEFAULT '';
ALTER TABLE commands ADD COLUMN action INTEGER NOT NULL DEFAULT 0;
CREATE INDEX commands_rule ON commands(rule_id, at_us);
