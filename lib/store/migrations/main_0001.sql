-- The whole vocabulary: every object has a UUID, a version and a mac from the first migration.

CREATE TABLE settings (
	key TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE departments (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	parent_id BLOB REFERENCES departments(id),
	description TEXT NOT NULL
);
CREATE INDEX departments_parent ON departments(parent_id);

-- What a grant can be given to, and what it can be about. One table per side, so that the database itself checks
-- grants, memberships and closures, and removes them with what they are about.
CREATE TABLE subjects (
	id BLOB PRIMARY KEY,
	kind INTEGER NOT NULL,
	UNIQUE (id, kind)
);
CREATE TABLE objects (
	id BLOB PRIMARY KEY,
	kind INTEGER NOT NULL,
	UNIQUE (id, kind)
);

CREATE TABLE users (
	id BLOB PRIMARY KEY REFERENCES subjects(id),
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	login TEXT NOT NULL UNIQUE,
	full_name TEXT NOT NULL,
	email TEXT NOT NULL,
	department_id BLOB REFERENCES departments(id),
	role INTEGER NOT NULL,
	role_department_id BLOB REFERENCES departments(id),
	state INTEGER NOT NULL,
	valid_from_us INTEGER NOT NULL,
	valid_until_us INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	password_hash TEXT NOT NULL,
	must_change_password INTEGER NOT NULL,
	os_uid INTEGER UNIQUE,
	last_login_us INTEGER NOT NULL
);
CREATE INDEX users_department ON users(department_id);
CREATE INDEX users_role_department ON users(role_department_id);

CREATE TABLE user_keys (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	user_id BLOB NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	type TEXT NOT NULL,
	blob BLOB NOT NULL UNIQUE,
	fingerprint TEXT NOT NULL,
	comment TEXT NOT NULL,
	state INTEGER NOT NULL,
	require_touch INTEGER NOT NULL,
	valid_until_us INTEGER NOT NULL
);
CREATE INDEX user_keys_user ON user_keys(user_id);

CREATE TABLE secrets (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL,
	kind INTEGER NOT NULL,
	secret_version INTEGER NOT NULL,
	term INTEGER NOT NULL,
	ciphertext BLOB,
	public_blob BLOB,
	info TEXT NOT NULL,
	rotated_us INTEGER NOT NULL
);
CREATE INDEX secrets_term ON secrets(term);

CREATE TABLE user_totp (
	id BLOB PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	secret_id BLOB REFERENCES secrets(id),
	confirmed INTEGER NOT NULL,
	last_step INTEGER NOT NULL
);
CREATE INDEX user_totp_secret ON user_totp(secret_id);
CREATE TABLE user_recovery (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	user_id BLOB NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	hash TEXT NOT NULL,
	used_us INTEGER NOT NULL
);
CREATE INDEX user_recovery_user ON user_recovery(user_id);

CREATE TABLE user_groups (
	id BLOB PRIMARY KEY REFERENCES subjects(id),
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	department_id BLOB REFERENCES departments(id),
	remark TEXT NOT NULL
);
CREATE INDEX user_groups_department ON user_groups(department_id);

-- Edges: child is directly in parent. Closures: leaf (a user, an asset) is in node, through whatever, itself included,
-- so that one access decision is two short range reads and a probe for each pair.
CREATE TABLE user_edges (
	child_id BLOB NOT NULL,
	parent_id BLOB NOT NULL REFERENCES user_groups(id),
	child_kind INTEGER NOT NULL,
	created_us INTEGER NOT NULL,
	mac BLOB,
	PRIMARY KEY (child_id, parent_id),
	FOREIGN KEY (child_id, child_kind) REFERENCES subjects(id, kind)
) WITHOUT ROWID;
CREATE INDEX user_edges_parent ON user_edges(parent_id, child_id);
CREATE TABLE user_closure (
	leaf_id BLOB NOT NULL REFERENCES subjects(id) ON DELETE CASCADE,
	node_id BLOB NOT NULL REFERENCES subjects(id) ON DELETE CASCADE,
	PRIMARY KEY (leaf_id, node_id)
) WITHOUT ROWID;
CREATE INDEX user_closure_node ON user_closure(node_id, leaf_id);

CREATE TABLE zones (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	jump_asset_id BLOB,
	jump_account TEXT NOT NULL,
	source_address TEXT NOT NULL,
	remark TEXT NOT NULL
);

CREATE TABLE assets (
	id BLOB PRIMARY KEY REFERENCES objects(id),
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	address TEXT NOT NULL,
	port INTEGER NOT NULL,
	platform TEXT NOT NULL,
	department_id BLOB REFERENCES departments(id),
	owner_id BLOB REFERENCES users(id),
	zone_id BLOB REFERENCES zones(id),
	remark TEXT NOT NULL,
	state INTEGER NOT NULL,
	flags INTEGER NOT NULL,
	inner_key_secret_id BLOB REFERENCES secrets(id),
	inner_key BLOB
);
CREATE INDEX assets_address ON assets(lower(address), port);
CREATE INDEX assets_department ON assets(department_id);
CREATE INDEX assets_owner ON assets(owner_id);
CREATE INDEX assets_zone ON assets(zone_id);
CREATE INDEX assets_inner_key_secret ON assets(inner_key_secret_id);

CREATE TABLE host_keys (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	asset_id BLOB NOT NULL REFERENCES assets(id) ON DELETE CASCADE,
	type TEXT NOT NULL,
	blob BLOB NOT NULL,
	state INTEGER NOT NULL,
	pinned_by TEXT NOT NULL,
	UNIQUE (asset_id, blob)
);
CREATE TABLE asset_tags (
	asset_id BLOB NOT NULL REFERENCES assets(id) ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (asset_id, key)
) WITHOUT ROWID;
CREATE INDEX asset_tags_key ON asset_tags(key, value);

CREATE TABLE asset_groups (
	id BLOB PRIMARY KEY REFERENCES objects(id),
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	parent_id BLOB REFERENCES asset_groups(id),
	department_id BLOB REFERENCES departments(id),
	remark TEXT NOT NULL
);
CREATE INDEX asset_groups_parent ON asset_groups(parent_id);
CREATE INDEX asset_groups_department ON asset_groups(department_id);
CREATE TABLE asset_edges (
	child_id BLOB NOT NULL,
	parent_id BLOB NOT NULL REFERENCES asset_groups(id),
	child_kind INTEGER NOT NULL,
	created_us INTEGER NOT NULL,
	mac BLOB,
	PRIMARY KEY (child_id, parent_id),
	FOREIGN KEY (child_id, child_kind) REFERENCES objects(id, kind)
) WITHOUT ROWID;
CREATE INDEX asset_edges_parent ON asset_edges(parent_id, child_id);
CREATE TABLE asset_closure (
	leaf_id BLOB NOT NULL REFERENCES objects(id) ON DELETE CASCADE,
	node_id BLOB NOT NULL REFERENCES objects(id) ON DELETE CASCADE,
	PRIMARY KEY (leaf_id, node_id)
) WITHOUT ROWID;
CREATE INDEX asset_closure_node ON asset_closure(node_id, leaf_id);

CREATE TABLE accounts (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	asset_id BLOB NOT NULL REFERENCES assets(id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	login TEXT NOT NULL,
	kind INTEGER NOT NULL,
	secret_id BLOB REFERENCES secrets(id),
	auth_methods TEXT NOT NULL,
	state INTEGER NOT NULL,
	UNIQUE (asset_id, name)
);
CREATE INDEX accounts_secret ON accounts(secret_id);

CREATE TABLE grants (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	subject_kind INTEGER NOT NULL,
	subject_id BLOB NOT NULL,
	object_kind INTEGER NOT NULL,
	object_id BLOB NOT NULL,
	accounts TEXT NOT NULL,
	protocols INTEGER NOT NULL,
	effect INTEGER NOT NULL,
	valid_from_us INTEGER NOT NULL,
	valid_until_us INTEGER NOT NULL,
	name TEXT NOT NULL,
	remark TEXT NOT NULL,
	created_by BLOB,
	hours TEXT NOT NULL,
	sources TEXT NOT NULL,
	mfa_interval_s INTEGER NOT NULL,
	idle_s INTEGER NOT NULL,
	max_session_s INTEGER NOT NULL,
	concurrent_max INTEGER NOT NULL,
	reason_required INTEGER NOT NULL,
	agent_kinds INTEGER NOT NULL,
	file_direction INTEGER NOT NULL,
	forwards TEXT NOT NULL,
	record_mode INTEGER NOT NULL,
	FOREIGN KEY (subject_id, subject_kind) REFERENCES subjects(id, kind) ON DELETE CASCADE,
	FOREIGN KEY (object_id, object_kind) REFERENCES objects(id, kind) ON DELETE CASCADE
);
CREATE INDEX grants_pair ON grants(subject_id, object_id);
-- Both columns here too: whichever of the two a planner takes for a pair, on whatever statistics, it reads that pair only.
CREATE INDEX grants_object ON grants(object_id, subject_id);

CREATE TABLE outbox (
	id SERIAL_KEY,
	kind TEXT NOT NULL,
	payload BLOB NOT NULL,
	created_us INTEGER NOT NULL,
	done_us INTEGER NOT NULL
);
CREATE INDEX outbox_pending ON outbox(id) WHERE done_us = 0;
CREATE INDEX outbox_done ON outbox(done_us) WHERE done_us > 0;
