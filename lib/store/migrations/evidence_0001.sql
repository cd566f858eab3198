-- An index of the audit log: it can be thrown away and replayed from there.

CREATE TABLE sessions (
	id BLOB PRIMARY KEY,
	conn_id BLOB,
	state INTEGER NOT NULL,
	user_id BLOB,
	user_login TEXT NOT NULL,
	asset_id BLOB,
	asset_name TEXT NOT NULL,
	account TEXT NOT NULL,
	protocol TEXT NOT NULL,
	source TEXT NOT NULL,
	started_us INTEGER NOT NULL,
	ended_us INTEGER NOT NULL,
	end_reason TEXT NOT NULL,
	ended_by TEXT NOT NULL,
	recording TEXT NOT NULL,
	record_state INTEGER NOT NULL,
	bytes_in INTEGER NOT NULL,
	bytes_out INTEGER NOT NULL,
	error TEXT NOT NULL
);
CREATE INDEX sessions_time ON sessions(started_us, id);
CREATE INDEX sessions_user ON sessions(user_id, started_us, id);
CREATE INDEX sessions_asset ON sessions(asset_id, started_us, id);
CREATE INDEX sessions_live ON sessions(started_us, id) WHERE state = 1;

CREATE TABLE session_events (
	session_id BLOB NOT NULL,
	seq INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	channel INTEGER NOT NULL,
	kind TEXT NOT NULL,
	payload BLOB NOT NULL,
	PRIMARY KEY (session_id, seq)
);
