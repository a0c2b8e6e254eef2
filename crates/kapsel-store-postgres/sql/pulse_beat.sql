-- pulse_beat
UPDATE pulse SET beats = beats + 1 WHERE id = 1
