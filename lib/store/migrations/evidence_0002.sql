-- The reason or ticket that the user gave at connect; '': none.
ALTER TABLE sessions ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
