-- A server that a user says is his, until he proves it or an administrator decides. One for an asset: its id is the asset's.
CREATE TABLE asset_claims (
	id BLOB PRIMARY KEY REFERENCES assets(id) ON DELETE CASCADE,
	version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	user_id BLOB NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	group_id BLOB,
	token_hash TEXT NOT NULL,
	expires_us INTEGER NOT NULL
);
CREATE INDEX asset_claims_user ON asset_claims(user_id);
