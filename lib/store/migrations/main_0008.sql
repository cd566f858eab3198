-- Where files may be moved, a rule a line; '': anywhere.
ALTER TABLE grants ADD COLUMN file_paths TEXT NOT NULL DEFAULT '';
