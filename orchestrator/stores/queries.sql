-- What a SQLite store asks of its file. A paragraph begins with its name; values are parameters only.

-- name: block
SELECT body FROM blocks WHERE key = ?;

-- name: blocks
SELECT key, body FROM blocks ORDER BY number;

-- name: put_block
INSERT INTO blocks (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body;

-- name: delete_block
DELETE FROM blocks WHERE key = ?;

-- name: revisions
-- Newest first, some at a time: most who look into the history look at its end.
SELECT version, body FROM revisions WHERE block = ? AND version > ? AND version < ? ORDER BY version DESC LIMIT ?;

-- name: last_version
SELECT coalesce(max(version), 0) FROM revisions WHERE block = ?;

-- name: add_revision
INSERT INTO revisions (block, version, body) VALUES (?, ?, ?);

-- name: agent
SELECT body FROM agents WHERE name = ?;

-- name: agents
SELECT name, body FROM agents ORDER BY number;

-- name: put_agent
INSERT INTO agents (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body;

-- name: delete_agent
DELETE FROM agents WHERE name = ?;

-- name: run
SELECT body FROM runs WHERE id = ?;

-- name: runs
SELECT id, body FROM runs ORDER BY number;

-- name: runs_of_status
-- And those that the transaction has written: whether they have the status is in what it wrote.
SELECT id, body FROM runs WHERE status = ? OR id IN (SELECT value FROM json_each(?)) ORDER BY number;

-- name: put_run
INSERT INTO runs (id, body, status) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET body = excluded.body, status = excluded.status;

-- name: turn
SELECT body FROM turns WHERE id = ?;

-- name: turns_of_run
SELECT turns.id, turns.body
FROM turns
WHERE turns.run = ? OR turns.id IN (SELECT turn FROM turns_of_others WHERE run = ?)
ORDER BY turns.number;

-- name: put_turn
-- The run that is charged for a turn stays the same.
INSERT INTO turns (id, body, run) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: add_turn_of_another
INSERT INTO turns_of_others (run, turn) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: messages
SELECT body FROM messages WHERE agent = ? ORDER BY number;

-- name: add_message
INSERT INTO messages (agent, body) VALUES (?, ?);

-- name: delete_messages
DELETE FROM messages WHERE agent = ?;

-- name: answer
SELECT body FROM journal WHERE turn = ? AND step = ?;

-- name: put_answer
INSERT INTO journal (turn, step, body) VALUES (?, ?, ?);

-- name: effect
SELECT body FROM effects WHERE key = ?;

-- name: put_effect
INSERT INTO effects (key, body) VALUES (?, ?);

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM events;

-- name: events
SELECT body FROM events WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: add_event
INSERT INTO events (seq, body) VALUES (?, ?);
