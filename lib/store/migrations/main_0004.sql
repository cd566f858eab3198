-- What a person marked in the menu to find it again. His own, gives no power, so it carries no mac.
CREATE TABLE favourites (
	user_id BLOB NOT NULL REFERENCES users(id) ON DELETE CASCADE,
	asset_id BLOB NOT NULL REFERENCES assets(id) ON DELETE CASCADE,
	created_us INTEGER NOT NULL,
	PRIMARY KEY (user_id, asset_id)
) WITHOUT ROWID;
CREATE INDEX favourites_asset ON favourites(asset_id);
-- The menu asks for the active accounts of thousands of assets: from the index alone.
CREATE INDEX accounts_open ON accounts(asset_id, state, name);
