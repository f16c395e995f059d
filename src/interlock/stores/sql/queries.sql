-- name: run_head
-- The run's row and its newest fact, for whoever wants to append to it.
SELECT runs.*, (SELECT MAX(seq) FROM facts WHERE facts.run_id = runs.run_id) AS seq
  FROM runs WHERE run_id = ?;

-- name: facts_of_run
SELECT position, run_id, seq, at, kind, body FROM facts
 WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: facts_since
SELECT position, run_id, seq, at, kind, body FROM facts
 WHERE position > ? ORDER BY position LIMIT ?;

-- name: facts_of_run_since
SELECT position, run_id, seq, at, kind, body FROM facts
 WHERE run_id = ? AND position > ? ORDER BY seq LIMIT ?;

-- name: facts_from_outside_since
SELECT position, run_id, seq, at, kind, body FROM facts
 WHERE position > ? AND kind IN ('cancel.asked', 'pause.asked', 'resume.asked', 'question.answered')
 ORDER BY position LIMIT ?;

-- name: newest_position
SELECT COALESCE(MAX(position), 0) FROM facts;

-- name: give_back
UPDATE runs SET driver = '' WHERE driver = ?;

-- name: release
UPDATE runs SET driver = '' WHERE run_id = ? AND driver = ? AND fence = ?;
