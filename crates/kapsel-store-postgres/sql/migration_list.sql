-- migration_list
SELECT version, name, checksum FROM schema_migrations WHERE version > 0 ORDER BY version
