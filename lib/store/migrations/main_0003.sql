-- A setting may give power too: it carries a mac like every other row that does.
ALTER TABLE settings ADD COLUMN mac BLOB;
