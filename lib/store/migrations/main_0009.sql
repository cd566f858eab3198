-- What is kept beside the recording (bits), and of one file at most, in MiB; 0: no limit.
ALTER TABLE grants ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN keep_max_mb INTEGER NOT NULL DEFAULT 0;
