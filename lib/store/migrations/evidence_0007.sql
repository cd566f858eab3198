-- What rules made of a command: 0 none, 1 low, 2 medium, 3 high, 4 critical. And what it printed, where a grant keeps that.
ALTER TABLE commands ADD COLUMN risk INTEGER NOT NULL DEFAULT 0;
CREATE INDEX commands_risk ON commands(id) WHERE risk > 0;
CREATE TABLE command_outputs (
	session_id BLOB NOT NULL,
	channel INTEGER NOT NULL,
	number INTEGER NOT NULL,
	output TEXT NOT NULL,
	bytes INTEGER NOT NULL,
	cut INTEGER NOT NULL,
	PRIMARY KEY (session_id, channel, number)
);
