-- The ledger. Accounts, holds and rates change in the same transaction as the facts they come from, so that no crash
-- can come between a call and its price. Amounts are whole micro-dollars, or counts; never fractions.
CREATE TABLE accounts (
    "key"    TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    scope    TEXT NOT NULL,
    "window" TEXT NOT NULL,
    until    DOUBLE PRECISION,
    unit     TEXT NOT NULL,
    "limit"  BIGINT NOT NULL,
    spent    BIGINT NOT NULL CHECK (spent >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0),
    alert_at TEXT NOT NULL,
    alerted  DOUBLE PRECISION NOT NULL
);

-- One for each call whose outcome is not written yet.
CREATE TABLE holds (
    run_id   TEXT NOT NULL,
    path     TEXT NOT NULL,
    micros   BIGINT NOT NULL,
    tokens   BIGINT NOT NULL,
    agent    TEXT NOT NULL,
    model    TEXT NOT NULL,
    accounts TEXT NOT NULL,
    refunds  TEXT NOT NULL,
    PRIMARY KEY (run_id, path)
);

-- GCRA: the theoretical arrival time of each limit, in nanoseconds since 1970.
CREATE TABLE rates (
    "key" TEXT NOT NULL PRIMARY KEY,
    name  TEXT NOT NULL,
    tat   BIGINT NOT NULL
);

-- What was paid, for reports; it can be made again from the facts.
CREATE TABLE spend (
    run_id   TEXT NOT NULL,
    agent    TEXT NOT NULL,
    model    TEXT NOT NULL,
    day      TEXT NOT NULL,
    micros   BIGINT NOT NULL,
    tokens   BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    unknown  BIGINT NOT NULL,
    PRIMARY KEY (run_id, agent, model, day)
);
