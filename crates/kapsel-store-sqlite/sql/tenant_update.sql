-- tenant_update
UPDATE tenants
SET config = ?2, status = ?3, updated_at = ?4, version = ?5,
    changed_seq = (SELECT max(changed_seq) + 1 FROM tenants)
WHERE id = ?1
