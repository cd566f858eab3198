-- Which list an object came from, and what it is called there: who is on it no more is looked for by these.
CREATE TABLE user_origins (
	id BLOB PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
	source TEXT NOT NULL,
	external_id TEXT NOT NULL,
	gone_us INTEGER NOT NULL,
	UNIQUE (source, external_id)
);
CREATE TABLE asset_origins (
	id BLOB PRIMARY KEY REFERENCES assets(id) ON DELETE CASCADE,
	source TEXT NOT NULL,
	external_id TEXT NOT NULL,
	gone_us INTEGER NOT NULL,
	UNIQUE (source, external_id)
);
