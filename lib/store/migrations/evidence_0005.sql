-- What ran, one row a line. certainty: 0 uncertain, 1 certain, 2 hidden (typed without echo: no text). ended_us 0: not known yet.
CREATE TABLE commands (
	id SERIAL_KEY,
	session_id BLOB NOT NULL,
	channel INTEGER NOT NULL,
	number INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	ended_us INTEGER NOT NULL,
	offset_us INTEGER NOT NULL,
	how TEXT NOT NULL,
	certainty INTEGER NOT NULL,
	place TEXT NOT NULL,
	user_id BLOB,
	asset_id BLOB,
	command TEXT NOT NULL,
	UNIQUE (session_id, channel, number)
);
CREATE INDEX commands_user ON commands(user_id, id);
CREATE INDEX commands_asset ON commands(asset_id, id);
-- Commands in bundles, oldest first, so that a search by text reads a thousandth of the rows.
CREATE TABLE command_blocks (
	first_id INTEGER PRIMARY KEY,
	last_id INTEGER NOT NULL,
	from_us INTEGER NOT NULL,
	until_us INTEGER NOT NULL,
	command BLOB NOT NULL
);
