-- A random number that changes with every write to what is between a group of users and an asset group, or among groups of
-- one sort: what a handle keeps of these in memory holds while the number stays (lib/store/groups.c).
CREATE TABLE group_stamp (slot INTEGER PRIMARY KEY, stamp INTEGER NOT NULL);
-- The grants between groups, by themselves.
CREATE INDEX grants_groups ON grants(subject_id, object_id, id, subject_kind, object_kind) WHERE subject_kind = 2 AND object_kind = 2;
