-- What a ticket asked for at connect must look like; '': the usual form. The reason itself is 0 none, 1 text, 2 ticket.
ALTER TABLE grants ADD COLUMN reason_pattern TEXT NOT NULL DEFAULT '';
-- A server is found by its host key (an agent at a target learns no other name of it).
CREATE INDEX host_keys_blob ON host_keys(blob);
