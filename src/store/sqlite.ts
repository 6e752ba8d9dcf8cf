/** Keyv on an embedded SQLite file (libsql): a table for each namespace, safe against `kill -9`, held by one program at a time. */

import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Libsql from 'libsql'
import { storeError } from './errors.ts'
import { makeFolder } from './folder.ts'
import type { Adapter, Database } from './keyv.ts'

const SWEEP_INTERVAL_MS = 3_600_000
/** Rows removed in one turn of the event loop: some milliseconds. */
const SWEEP_ROWS = 100
const ITERATOR_ROWS = 100

/** @throws StoreError */
export function openSqlite(file: string): Database {
  let database: Libsql.Database
  try {
    makeFolder(dirname(file))
    database = new Libsql(file)
    // The lock ends with the process, however it ends. A second bot on the same file would answer every job twice.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    // In WAL mode NORMAL syncs at checkpoints only: a commit takes 0.1 ms and survives a killed program; after a power cut
    // the file is sound, and the last moments before may be missing.
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = NORMAL')
    // Takes the lock now, and finds a read-only disk now rather than at the first job.
    database.exec('BEGIN IMMEDIATE; COMMIT')
  } catch (error) {
    throw storeError(error, file)
  }
  const tables: SqliteTable[] = []
  const sweeping = setInterval(() => {
    for (const table of tables) void table.removeExpired()
  }, SWEEP_INTERVAL_MS).unref()
  return {
    adapter(namespace) {
      const table = tableOf(database, namespace, file)
      tables.push(table)
      void table.removeExpired()
      return table
    },
    error: (cause) => storeError(cause, file),
    async close() {
      clearInterval(sweeping)
      releaseLock(database)
      database.close()
    },
  }
}

/** libsql keeps its connection, and the lock with it, until its statements are collected; SQLite gives it up outside WAL mode. */
function releaseLock(database: Libsql.Database): void {
  try {
    database.exec('PRAGMA journal_mode = DELETE; PRAGMA locking_mode = NORMAL; SELECT * FROM sqlite_schema')
  } catch {
    // A full disk: what the log holds is read at the next start, and the lock ends with the process.
  }
}

function tableOf(database: Libsql.Database, name: string, file: string): SqliteTable {
  try {
    return new SqliteTable(database, name)
  } catch (error) {
    throw storeError(error, file)
  }
}

interface Row {
  key: string
  value: string
}

/** Writes are synchronous and short, which is quicker than any thread to hand them to. */
class SqliteTable implements Adapter {
  readonly #database: Libsql.Database
  readonly #get: Libsql.Statement
  readonly #set: Libsql.Statement
  readonly #delete: Libsql.Statement
  readonly #clear: Libsql.Statement
  readonly #after: Libsql.Statement
  readonly #removeExpired: Libsql.Statement

  constructor(database: Libsql.Database, name: string) {
    database.exec(
      `CREATE TABLE IF NOT EXISTS "${name}" (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires INTEGER) WITHOUT ROWID`,
    )
    database.exec(`CREATE INDEX IF NOT EXISTS "${name}_expires" ON "${name}" (expires) WHERE expires IS NOT NULL`)
    this.#database = database
    this.#get = database.prepare(`SELECT value FROM "${name}" WHERE key = ?`)
    this.#set = database.prepare(`INSERT OR REPLACE INTO "${name}" VALUES (?, ?, ?)`)
    this.#delete = database.prepare(`DELETE FROM "${name}" WHERE key = ?`)
    this.#clear = database.prepare(`DELETE FROM "${name}"`)
    this.#after = database.prepare(`SELECT key, value FROM "${name}" WHERE key > ? ORDER BY key LIMIT ${ITERATOR_ROWS}`)
    this.#removeExpired = database.prepare(
      `DELETE FROM "${name}" WHERE key IN (SELECT key FROM "${name}" WHERE expires < ? LIMIT ${SWEEP_ROWS})`,
    )
  }

  // biome-ignore lint/suspicious/noExplicitAny: Keyv's signature; it unpacks the text itself
  async get(key: string): Promise<any> {
    return (this.#opened(this.#get).get(key) as Row | undefined)?.value
  }

  async set(key: string, value: string, ttl?: number): Promise<void> {
    this.#opened(this.#set).run(key, value, ttl === undefined ? null : Date.now() + ttl)
  }

  async delete(key: string): Promise<boolean> {
    return this.#opened(this.#delete).run(key).changes > 0
  }

  async clear(): Promise<void> {
    this.#opened(this.#clear).run()
  }

  async *iterator(): AsyncGenerator<[string, string]> {
    for (let last = ''; ; ) {
      const rows = this.#opened(this.#after).all(last) as Row[]
      for (const { key, value } of rows) yield [key, value]
      if (rows.length < ITERATOR_ROWS) return
      last = rows.at(-1)!.key
    }
  }

  async removeExpired(): Promise<void> {
    try {
      while (this.#database.open && this.#removeExpired.run(Date.now()).changes === SWEEP_ROWS) await nextTurn()
    } catch {
      // Nothing is lost by a row that stays; a disk that fails shows itself at the next job.
    }
  }

  /** A statement would run on even after its database was closed, without the lock. */
  #opened(statement: Libsql.Statement): Libsql.Statement {
    if (!this.#database.open) throw new Error('it is closed')
    return statement
  }
}
