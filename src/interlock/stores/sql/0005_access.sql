-- Who may ask for work, and the tokens by which they are known. Of a token only its SHA-256 is kept.
CREATE TABLE users (
    name       TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT,
    tier       TEXT NOT NULL,
    roles      TEXT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    digest       TEXT NOT NULL UNIQUE,
    "user"       TEXT NOT NULL,
    created_at   DOUBLE PRECISION NOT NULL,
    expires_at   DOUBLE PRECISION,
    last_used_at DOUBLE PRECISION,
    revoked_at   DOUBLE PRECISION
);

-- Tells processes that remember the users when to look again.
CREATE TABLE access_changes (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL
);
INSERT INTO access_changes (id, number) VALUES (1, 0);
