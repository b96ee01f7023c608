"""claude-flow's databases, made by its own statements: of the packages 2.7.47 and 3.43.0 on npm."""

import sqlite3
from contextlib import closing
from pathlib import Path

# dist/src/memory/sqlite-store.js of 2.7.47, behind its MCP server
VERSION_2 = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS memory_entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  namespace TEXT NOT NULL DEFAULT 'default',
  metadata TEXT,
  created_at INTEGER DEFAULT (strftime('%s', 'now')),
  updated_at INTEGER DEFAULT (strftime('%s', 'now')),
  accessed_at INTEGER DEFAULT (strftime('%s', 'now')),
  access_count INTEGER DEFAULT 0,
  ttl INTEGER,
  expires_at INTEGER,
  UNIQUE(key, namespace)
);
"""

# dist/src/memory/shared-memory.js of 2.7.47, both migrations
SHARED = """
CREATE TABLE IF NOT EXISTS memory_store (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  namespace TEXT NOT NULL DEFAULT 'default',
  value TEXT NOT NULL,
  type TEXT NOT NULL DEFAULT 'json',
  metadata TEXT,
  created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  accessed_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')),
  access_count INTEGER NOT NULL DEFAULT 0,
  ttl INTEGER,
  expires_at INTEGER,
  compressed INTEGER DEFAULT 0,
  size INTEGER NOT NULL DEFAULT 0,
  UNIQUE(key, namespace)
);
ALTER TABLE memory_store ADD COLUMN tags TEXT;
"""

# dist/src/cli/simple-commands/memory-consolidation.js of 2.7.47
CONSOLIDATED = """
CREATE TABLE IF NOT EXISTS memory_entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  namespace TEXT NOT NULL DEFAULT 'default',
  timestamp INTEGER NOT NULL,
  source TEXT,
  UNIQUE(key, namespace)
);
"""

# dist/src/cli/simple-commands/hive-mind-wizard.js of 2.7.47
HIVE = """
CREATE TABLE IF NOT EXISTS collective_memory (
  id TEXT PRIMARY KEY,
  swarm_id TEXT,
  key TEXT NOT NULL,
  value TEXT,
  ttl INTEGER,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
"""

# reasoningbank/db/queries.js of agentic-flow, which 2.7.47 brings; the rows as its reasoningbank-adapter.js makes them
REASONING = """
CREATE TABLE IF NOT EXISTS patterns (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  pattern_data TEXT NOT NULL,
  confidence REAL NOT NULL DEFAULT 0.5,
  usage_count INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
  last_used TEXT
);
"""

# v3/@claude-flow/cli/dist/src/memory/memory-initializer.js of 3.43.0
VERSION_3 = """
CREATE TABLE IF NOT EXISTS memory_entries (
  id TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  namespace TEXT DEFAULT 'default',
  content TEXT NOT NULL,
  type TEXT DEFAULT 'semantic' CHECK(type IN ('semantic', 'episodic', 'procedural', 'working', 'pattern')),
  embedding TEXT,
  embedding_model TEXT DEFAULT 'local',
  embedding_dimensions INTEGER,
  tags TEXT,
  metadata TEXT,
  owner_id TEXT,
  provenance_type TEXT DEFAULT 'unknown' CHECK(provenance_type IN (
    'user_claim', 'agent_output', 'system_observation', 'tool_result', 'unknown'
  )),
  created_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000),
  updated_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now') * 1000),
  expires_at INTEGER,
  last_accessed_at INTEGER,
  access_count INTEGER DEFAULT 0,
  status TEXT DEFAULT 'active' CHECK(status IN ('active', 'archived', 'deleted')),
  UNIQUE(namespace, key)
);
CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT OR REPLACE INTO metadata (key, value) VALUES ('schema_version', '3.0.0'), ('backend', 'hybrid');
"""


def made(path: Path, schema: str, table: str = "memory_entries", *rows: dict[str, object]) -> Path:
    """A database at `path` with `rows` in `table`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(schema)
        for row in rows:
            columns, places = ", ".join(row), ", ".join("?" * len(row))
            raw.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", tuple(row.values()))
        raw.commit()
    return path
