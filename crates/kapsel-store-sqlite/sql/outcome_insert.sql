-- outcome_insert
INSERT INTO outcomes (tenant_id, event_id, delivery_id, endpoint_id, reason, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE SET reason = excluded.reason, ended_at = excluded.ended_at
