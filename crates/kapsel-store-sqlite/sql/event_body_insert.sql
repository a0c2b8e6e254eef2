-- event_body_insert
INSERT INTO event_bodies (tenant_id, event_id, body) VALUES (?1, ?2, ?3)
