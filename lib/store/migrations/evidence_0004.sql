-- What was done to files, for searching; the whole of an event is in session_events.
CREATE TABLE session_files (
	session_id BLOB NOT NULL,
	seq INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	op TEXT NOT NULL,
	path TEXT NOT NULL,
	to_path TEXT NOT NULL,
	result TEXT NOT NULL,
	PRIMARY KEY (session_id, seq)
);
CREATE INDEX session_files_time ON session_files(at_us, session_id, seq);
