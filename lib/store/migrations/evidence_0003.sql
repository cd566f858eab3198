-- The jump servers on the way, as 'access explain' writes them; '': reached directly.
ALTER TABLE sessions ADD COLUMN path TEXT NOT NULL DEFAULT '';
