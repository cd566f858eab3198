-- What the rules over events found, and what was done about it.
CREATE TABLE detections (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	name TEXT NOT NULL UNIQUE,
	state INTEGER NOT NULL,
	text TEXT NOT NULL
);
CREATE TABLE offenses (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	property TEXT NOT NULL,
	value TEXT NOT NULL,
	about TEXT NOT NULL,
	title TEXT NOT NULL,
	category TEXT NOT NULL,
	severity INTEGER NOT NULL,
	state INTEGER NOT NULL,
	protected INTEGER NOT NULL,
	owner TEXT NOT NULL,
	alerts INTEGER NOT NULL,
	department_id BLOB,
	opened_us INTEGER NOT NULL,
	last_us INTEGER NOT NULL,
	closed_us INTEGER NOT NULL,
	closed_by TEXT NOT NULL,
	reason TEXT NOT NULL
);
CREATE INDEX offenses_value ON offenses(property, value, state);
CREATE INDEX offenses_state ON offenses(state, last_us);
CREATE TABLE offense_notes (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	offense_id BLOB NOT NULL REFERENCES offenses(id) ON DELETE CASCADE,
	author TEXT NOT NULL,
	text TEXT NOT NULL
);
CREATE INDEX offense_notes_offense ON offense_notes(offense_id);
-- One for each firing of a rule: the same entries of the log never make two.
CREATE TABLE alerts (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	offense_id BLOB NOT NULL REFERENCES offenses(id) ON DELETE CASCADE,
	rule TEXT NOT NULL,
	entry INTEGER NOT NULL,
	property TEXT NOT NULL,
	value TEXT NOT NULL,
	title TEXT NOT NULL,
	category TEXT NOT NULL,
	severity INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	events TEXT NOT NULL,
	UNIQUE (rule, entry, value)
);
CREATE INDEX alerts_offense ON alerts(offense_id);
CREATE INDEX alerts_at ON alerts(at_us);
CREATE TABLE responses (
	id BLOB PRIMARY KEY, version INTEGER NOT NULL, created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, mac BLOB,
	alert_id BLOB NOT NULL REFERENCES alerts(id) ON DELETE CASCADE,
	offense_id BLOB NOT NULL REFERENCES offenses(id) ON DELETE CASCADE,
	action TEXT NOT NULL,
	target TEXT NOT NULL,
	state INTEGER NOT NULL,
	done_us INTEGER NOT NULL,
	text TEXT NOT NULL
);
CREATE INDEX responses_offense ON responses(offense_id);
CREATE INDEX responses_alert ON responses(alert_id);
CREATE INDEX responses_action ON responses(action, state, done_us);
