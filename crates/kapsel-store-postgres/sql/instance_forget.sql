-- instance_forget
DELETE FROM instances WHERE last_seen_at < $1
