-- migration_lock
-- Whoever migrates holds this row until the commit. A lock on a row works on every database that speaks PostgreSQL's
-- protocol; advisory locks do nothing on some.
SELECT version FROM schema_migrations WHERE version = 0 FOR UPDATE
