-- Rules over commands, in named sets; what a set is applied to; what a grant makes of commands that no rule names.
CREATE TABLE rule_sets (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	remark TEXT NOT NULL
);
CREATE TABLE command_rules (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	set_id BLOB NOT NULL REFERENCES rule_sets(id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	priority INTEGER NOT NULL,
	action INTEGER NOT NULL,
	state INTEGER NOT NULL,
	expires_us INTEGER NOT NULL,
	message TEXT NOT NULL,
	text TEXT NOT NULL,
	UNIQUE (set_id, name)
);
-- object_id: of a user, group, department, asset, asset group or account, by kind; it may be gone.
CREATE TABLE rule_uses (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	set_id BLOB NOT NULL REFERENCES rule_sets(id) ON DELETE CASCADE,
	kind INTEGER NOT NULL,
	object_id BLOB NOT NULL,
	UNIQUE (set_id, object_id)
);
CREATE INDEX rule_uses_object ON rule_uses(object_id);
CREATE TABLE grant_commands (
	id BLOB PRIMARY KEY REFERENCES grants(id) ON DELETE CASCADE,
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	mode INTEGER NOT NULL,
	refuse_uncertain INTEGER NOT NULL
);
