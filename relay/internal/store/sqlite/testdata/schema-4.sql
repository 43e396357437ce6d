-- A file as schema 4 left it. It never changes: a relay of today must be able to
-- use such a file. Times are far ahead, so that nothing in it expires.
PRAGMA application_id = 1095127628;
PRAGMA user_version = 4;
CREATE TABLE tokens (
	token      TEXT PRIMARY KEY,
	data       BLOB NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE TABLE sessions (
	visitor     TEXT PRIMARY KEY,
	epoch       INTEGER NOT NULL,
	upstream_id TEXT NOT NULL,
	state       TEXT NOT NULL,
	last_seq    INTEGER NOT NULL,
	updated_at  INTEGER NOT NULL,
	expires_at  INTEGER NOT NULL,
	version     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE TABLE notes (
	id         INTEGER PRIMARY KEY,
	visitor    TEXT NOT NULL,
	kind       TEXT NOT NULL,
	key        TEXT NOT NULL,
	epoch      INTEGER NOT NULL,
	seq        INTEGER NOT NULL,
	state      TEXT NOT NULL,
	hash       TEXT NOT NULL,
	body       TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	version    INTEGER NOT NULL,
	changed    INTEGER NOT NULL DEFAULT 0,
	place      INTEGER NOT NULL DEFAULT 0,
	UNIQUE (visitor, kind, key)
) STRICT;
CREATE INDEX notes_by_expiry ON notes (expires_at);
CREATE INDEX notes_by_change ON notes (visitor, changed, kind, epoch);
CREATE INDEX notes_by_place ON notes (visitor, kind, epoch, place);
CREATE TABLE leases (
	fence      INTEGER PRIMARY KEY AUTOINCREMENT,
	name       TEXT NOT NULL UNIQUE,
	owner      TEXT NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_by_expiry ON leases (expires_at);
CREATE TABLE ping (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	at INTEGER NOT NULL
) STRICT;
CREATE TABLE quotas (
	key        TEXT PRIMARY KEY,
	start      INTEGER NOT NULL,
	now        INTEGER NOT NULL,
	last       INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX quotas_by_expiry ON quotas (expires_at);
CREATE TABLE awake (
	ticket     INTEGER PRIMARY KEY AUTOINCREMENT,
	visitor    TEXT NOT NULL UNIQUE,
	rank       INTEGER NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX awake_by_expiry ON awake (expires_at);
CREATE INDEX awake_by_rank ON awake (rank);
INSERT INTO tokens VALUES ('token-1', x'64617461', 4102444800000);
INSERT INTO sessions VALUES ('visitor-1', 3, 'sess_1', 'sleeping', 41, 1767225600000, 4102444800000, 77);
INSERT INTO notes (id, visitor, kind, key, epoch, seq, state, hash, body, created_at, expires_at, version, changed, place) VALUES (5, 'visitor-1', 'turn', 'k1', 3, 40, 'sent', 'hash', '{"text":"first"}', 1767225600000, 4102444800000, 78, 5, 39);
INSERT INTO notes (id, visitor, kind, key, epoch, seq, state, hash, body, created_at, expires_at, version, changed, place) VALUES (9, 'visitor-1', 'turn', 'k2', 3, 41, 'sent', 'hash', '{"text":"second"}', 1767225600001, 4102444800000, 79, 9, 40);
INSERT INTO leases VALUES (12, 'wake:visitor-1', 'another', 4102444800000);
INSERT INTO ping VALUES (1, 1767225600000);
INSERT INTO quotas VALUES ('new', 4102358400000, 5, 0, 4102444800000);
INSERT INTO awake VALUES (7, 'visitor-1', 100, 4102444800000);
