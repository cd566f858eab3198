-- What certificates for an account name instead of its login; '': the login. Separated by ','.
ALTER TABLE accounts ADD COLUMN principals TEXT NOT NULL DEFAULT '';
-- An authority is found by its name.
CREATE INDEX secrets_kind_name ON secrets(kind, name);
