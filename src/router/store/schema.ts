// The database's schema as append-only migrations: number n brings `user_version` from n to n + 1. Never edit one that was released.

export const migrations: readonly string[] = [
  `
  -- One row per object of the configuration; the model (src/model/config.ts) says what a body holds.
  CREATE TABLE object (
    noun TEXT NOT NULL,
    id   TEXT NOT NULL,             -- empty for the nouns that are one object
    body TEXT NOT NULL,             -- JSON without sealed fields
    PRIMARY KEY (noun, id)
  ) STRICT, WITHOUT ROWID;

  -- Every saved change of the configuration, and what it replaced.
  CREATE TABLE revision (
    revision INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,      -- milliseconds since 1970, wall clock
    actor    TEXT NOT NULL,
    summary  TEXT NOT NULL
  ) STRICT;
  CREATE TABLE change (
    revision INTEGER NOT NULL REFERENCES revision,
    noun     TEXT NOT NULL,
    id       TEXT NOT NULL,
    before   TEXT,                  -- null: it is new
    after    TEXT,                  -- null: it was removed
    PRIMARY KEY (revision, noun, id)
  ) STRICT, WITHOUT ROWID;

  -- Sealed values: version | key id | nonce | ciphertext | tag, see secrets.ts.
  CREATE TABLE secret (
    row    TEXT NOT NULL,           -- the object it belongs to
    column TEXT NOT NULL,           -- 'private key', 'preshared key', 'public key'
    sealed BLOB NOT NULL,
    PRIMARY KEY (row, column)
  ) STRICT, WITHOUT ROWID;

  -- Leases, ended ones included until they are old. Milliseconds.
  CREATE TABLE lease (
    id         TEXT PRIMARY KEY,
    source     TEXT NOT NULL,
    member     TEXT,
    granted_by TEXT NOT NULL,
    reason     TEXT NOT NULL,
    granted_at INTEGER NOT NULL,    -- wall clock
    expires_at INTEGER NOT NULL,    -- wall clock
    boot_id    TEXT NOT NULL,
    deadline   INTEGER NOT NULL,    -- monotonic clock of boot_id
    remaining  INTEGER NOT NULL,    -- at the last checkpoint
    restored   INTEGER NOT NULL,
    ended_at   INTEGER,             -- wall clock
    ended_how  TEXT CHECK (ended_how IN ('expired', 'revoked'))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX lease_live ON lease (ended_at) WHERE ended_at IS NULL;

  -- Who did what, and what happened by itself. Bounded by audit.ts.
  CREATE TABLE audit (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at    INTEGER NOT NULL,
    actor TEXT NOT NULL,
    event TEXT NOT NULL,
    body  TEXT NOT NULL             -- JSON
  ) STRICT;
  `,
  `
  -- Bearer secrets: sessions, API tokens, hand-over links, the claim code. See tickets.ts.
  CREATE TABLE ticket (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    owner      TEXT NOT NULL,        -- the member it is of, or empty
    lookup     BLOB NOT NULL UNIQUE, -- keyed hash of what the bearer shows
    sealed     BLOB NOT NULL,        -- JSON; what it allows
    created_at INTEGER NOT NULL,     -- milliseconds since 1970
    expires_at INTEGER NOT NULL,
    used_at    INTEGER               -- those that work once
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX ticket_owner ON ticket (owner);

  -- The newest TAI64N timestamp seen of each peer: an older handshake is a replay.
  CREATE TABLE knock (
    peer      TEXT PRIMARY KEY,      -- SHA-256 of its public key, hex: a new key starts anew
    timestamp BLOB NOT NULL          -- 12 bytes, and 12 more where a wrong clock was forgotten
  ) STRICT, WITHOUT ROWID;

  -- Each kind of entry has a bound of its own, so that traffic does not push out who did what.
  ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT 'act';
  CREATE INDEX audit_kind ON audit (kind, id);

  -- Sealed values that a revision took out or replaced, as they were in "secret": undoing it puts them back.
  CREATE TABLE kept (
    revision INTEGER NOT NULL,
    row      TEXT NOT NULL,
    column   TEXT NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (row, column, revision)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX kept_revision ON kept (revision);

  -- The network edit that is undone unless it is confirmed in time; one row at most. See pending.ts.
  CREATE TABLE pending (
    id       TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    summary  TEXT NOT NULL,
    actor    TEXT NOT NULL,
    ticket   TEXT NOT NULL,          -- the session or token that may confirm it; empty: the console
    boot_id  TEXT NOT NULL,
    deadline INTEGER NOT NULL        -- milliseconds, monotonic clock of boot_id
  ) STRICT, WITHOUT ROWID;
  `,
];
