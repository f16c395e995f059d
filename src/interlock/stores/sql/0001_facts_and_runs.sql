-- Facts are only ever appended. A run's row is a projection that changes in the same transaction as the
-- facts it comes from; it can be made again from them.
CREATE TABLE facts (
    position INTEGER PRIMARY KEY,
    run_id   TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    at       DOUBLE PRECISION NOT NULL,
    kind     TEXT NOT NULL,
    body     TEXT NOT NULL
);
CREATE UNIQUE INDEX facts_by_run ON facts (run_id, seq);
-- What others wrote for a run's driver to notice; few among many, looked for often.
CREATE INDEX facts_from_outside ON facts (position)
    WHERE kind IN ('cancel.asked', 'pause.asked', 'resume.asked', 'question.answered');

CREATE TABLE runs (
    run_id       TEXT NOT NULL PRIMARY KEY,
    task_id      TEXT NOT NULL,
    title        TEXT NOT NULL,
    status       TEXT NOT NULL,
    flow         TEXT NOT NULL,
    platform     TEXT NOT NULL,
    agent        TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    "user"       TEXT,
    tenant       TEXT,
    parent       TEXT,
    created_at   DOUBLE PRECISION NOT NULL,
    updated_at   DOUBLE PRECISION NOT NULL,
    finished_at  DOUBLE PRECISION,
    wake_at      DOUBLE PRECISION,
    seconds      DOUBLE PRECISION NOT NULL,
    tokens       BIGINT NOT NULL,
    cost_micros  BIGINT,
    failure_code TEXT NOT NULL,
    failure_says TEXT NOT NULL,
    guardrail    TEXT,
    parked_by    TEXT NOT NULL,
    driver       TEXT NOT NULL,
    fence        INTEGER NOT NULL
);
CREATE INDEX runs_by_age ON runs (created_at, run_id);
CREATE INDEX runs_by_task ON runs (task_id);
CREATE INDEX runs_by_status ON runs (status, wake_at);
CREATE INDEX runs_by_driver ON runs (driver) WHERE driver <> '';
