-- A login that differs from another one only in case is refused (lib/store/ops.c). Two that are there already stay, and are
-- told apart as before.
CREATE INDEX users_login_lower ON users(lower(login));
-- Secrets of accounts and inner host keys of assets went on lying here when these were deleted.
DELETE FROM secrets WHERE (kind = 4 OR (kind IN (1, 2) AND name LIKE '%@%'))
	AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.secret_id = secrets.id)
	AND NOT EXISTS (SELECT 1 FROM assets h WHERE h.inner_key_secret_id = secrets.id)
	AND NOT EXISTS (SELECT 1 FROM user_totp t WHERE t.secret_id = secrets.id);
