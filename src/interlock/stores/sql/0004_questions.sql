-- What people are asked to allow. A projection of the facts, changed in the same transaction: what is open is found
-- without reading any run.
CREATE TABLE questions (
    run_id      TEXT NOT NULL,
    question_id TEXT NOT NULL,
    path        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    state       TEXT NOT NULL,
    "user"      TEXT,
    allowed_by  TEXT NOT NULL,
    asked_at    DOUBLE PRECISION NOT NULL,
    expires_at  DOUBLE PRECISION,
    body        TEXT NOT NULL,
    PRIMARY KEY (run_id, question_id)
);
CREATE INDEX questions_by_id ON questions (question_id);
CREATE INDEX questions_open ON questions (asked_at) WHERE state = 'pending';
