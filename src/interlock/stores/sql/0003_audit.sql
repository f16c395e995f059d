-- The audit log: one entry for each fact, written in the same transaction, each holding the hash of the one before.
-- `body` is the entry exactly as it was hashed; `leaf` is its hash in hexadecimal: the leaf of an RFC 6962 tree.
CREATE TABLE audit (
    n    INTEGER PRIMARY KEY,
    leaf TEXT NOT NULL,
    body TEXT NOT NULL
);

-- Places in the log: `anchor` is the newest entry that retention took away, `checkpoints` how far the log is signed,
-- and one for each sink how far it has been sent. `state` is JSON: the tree up to there, and what is under way.
CREATE TABLE audit_marks (
    name  TEXT NOT NULL PRIMARY KEY,
    n     BIGINT NOT NULL,
    state TEXT NOT NULL
);
