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

-- name: account_balance
SELECT spent, reserved FROM accounts WHERE "key" = ?;

-- name: reserve
INSERT INTO accounts ("key", name, scope, "window", until, unit, "limit", alert_at, spent, reserved, alerted)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)
    ON CONFLICT ("key") DO UPDATE SET spent = accounts.spent + excluded.spent,
       reserved = accounts.reserved + excluded.reserved, "limit" = excluded."limit", until = excluded.until,
       alert_at = excluded.alert_at;

-- name: settle_account
UPDATE accounts SET reserved = reserved - ?, spent = spent + ? WHERE "key" = ?
RETURNING name, scope, "window", "limit", spent, alert_at, alerted;

-- name: remember_alert
UPDATE accounts SET alerted = ? WHERE "key" = ?;

-- name: rate_of
SELECT tat FROM rates WHERE "key" = ?;

-- name: move_rate
INSERT INTO rates ("key", name, tat) VALUES (?, ?, ?) ON CONFLICT ("key") DO UPDATE SET tat = excluded.tat;

-- name: refund_rate
UPDATE rates SET tat = tat - ? WHERE "key" = ?;

-- name: open_hold
INSERT INTO holds (run_id, path, micros, tokens, agent, model, accounts, refunds) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: close_hold
DELETE FROM holds WHERE run_id = ? AND path = ? RETURNING micros, tokens, agent, model, accounts, refunds;

-- name: holds_of_run
SELECT path FROM holds WHERE run_id = ? ORDER BY path;

-- name: add_spend
INSERT INTO spend (run_id, agent, model, day, micros, tokens, requests, unknown) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (run_id, agent, model, day) DO UPDATE SET micros = spend.micros + excluded.micros,
       tokens = spend.tokens + excluded.tokens, requests = spend.requests + excluded.requests,
       unknown = spend.unknown + excluded.unknown;

-- name: all_accounts
SELECT "key", name, scope, "window", until, unit, "limit", spent, reserved FROM accounts
 WHERE COALESCE(until, ?) >= ? OR reserved > 0 ORDER BY name, scope, "window";

-- name: spending
-- By run, agent, model, day, user or tenant.
SELECT CASE ? WHEN 'run' THEN spend.run_id WHEN 'agent' THEN spend.agent WHEN 'model' THEN spend.model
              WHEN 'day' THEN spend.day WHEN 'user' THEN COALESCE(runs."user", '')
              ELSE COALESCE(runs.tenant, '') END AS grouped,
       SUM(spend.micros), SUM(spend.tokens), SUM(spend.requests), SUM(spend.unknown)
  FROM spend JOIN runs ON runs.run_id = spend.run_id
 GROUP BY grouped ORDER BY 2 DESC, grouped;

-- name: spending_by_label
-- A run counts under each of its labels, and under none where it has none.
SELECT COALESCE(label."key" || '=' || label.value, '') AS grouped,
       SUM(spend.micros), SUM(spend.tokens), SUM(spend.requests), SUM(spend.unknown)
  FROM spend JOIN facts ON facts.run_id = spend.run_id AND facts.seq = 1
  LEFT JOIN json_each(facts.body, '$.task.labels') AS label
 GROUP BY grouped ORDER BY 2 DESC, grouped;

-- name: question_asked
INSERT INTO questions (run_id, question_id, about, path, digest, state, "user", allowed_by, asked_at, expires_at, body)
VALUES (?, ?, ?, ?, ?, 'pending', ?, '[]', ?, ?, ?)
    ON CONFLICT (run_id, question_id) DO UPDATE SET about = excluded.about, path = excluded.path,
       digest = excluded.digest, state = 'pending', allowed_by = '[]', asked_at = excluded.asked_at, expires_at = excluded.expires_at, body = excluded.body;

-- name: question_row
SELECT state, "user", allowed_by, asked_at, body FROM questions WHERE run_id = ? AND question_id = ?;

-- name: question_of_run
SELECT 1 FROM questions WHERE run_id = ? LIMIT 1;

-- name: question_moved
UPDATE questions SET state = ?, allowed_by = ? WHERE run_id = ? AND question_id = ?;

-- name: question_used
UPDATE questions SET state = 'used' WHERE run_id = ? AND question_id = ? AND state = 'allowed';

-- name: questions_withdrawn
-- All of a step that show something else; of a whole run where there is no path.
UPDATE questions SET state = 'void'
 WHERE run_id = ? AND about = ? AND state IN ('pending', ?) AND (path = ? OR ? IS NULL) AND digest <> ?;

-- name: questions
SELECT run_id, question_id, path, state, "user", allowed_by, asked_at, expires_at, body FROM questions
 WHERE (? = '' OR state = ?) AND substr(question_id, 1, ?) = ? ORDER BY asked_at, question_id LIMIT ?;
