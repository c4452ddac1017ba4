-- From an empty file to version 1. A row is JSON, beside the columns by which it is found.
-- `number` is the order in which rows came; a row that is written again keeps its number.

BEGIN IMMEDIATE;

PRAGMA application_id = 0x73626c6b; -- "sblk": the file is ours
PRAGMA user_version = 1;

CREATE TABLE blocks (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL);

CREATE TABLE revisions (
    block TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (block, version)
);

CREATE TABLE agents (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body TEXT NOT NULL);

CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    status TEXT NOT NULL
);

CREATE INDEX runs_by_status ON runs (status);

CREATE TABLE turns (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    run TEXT NOT NULL
);

CREATE INDEX turns_by_run ON turns (run);

-- The other runs that a turn works for; few turns have any.
CREATE TABLE turns_of_others (run TEXT NOT NULL, turn TEXT NOT NULL, PRIMARY KEY (run, turn)) WITHOUT ROWID;

CREATE TABLE messages (number INTEGER PRIMARY KEY, agent TEXT NOT NULL, body TEXT NOT NULL);

CREATE INDEX messages_by_agent ON messages (agent);

CREATE TABLE journal (turn TEXT NOT NULL, step INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (turn, step));

CREATE TABLE effects (key TEXT NOT NULL UNIQUE, body TEXT NOT NULL);

CREATE TABLE events (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);

COMMIT;
