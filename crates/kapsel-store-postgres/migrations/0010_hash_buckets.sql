-- Leaves are found by their hash within each 65,536 leaves of a log. Hashes come in no order: in an index over all of them,
-- each new one would change a page of its own, of an index that grows for ever. This one changes within its last part only.
DROP INDEX log_entries_by_hash;
CREATE INDEX log_entries_by_hash ON log_entries ((leaf_index >> 16), hash_prefix);
