/** Keyv on an embedded SQLite file (libsql): a table for each namespace, safe against `kill -9`, held by one program at a time. */

import { chmodSync, closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Libsql from 'libsql'
import { StoreError, storeError } from './errors.ts'
import { makeFolder } from './folder.ts'
import type { Adapter, Database } from './keyv.ts'
import { ASIDE, migrate } from './migrations.ts'

const SWEEP_INTERVAL_MS = 3_600_000
/** Rows removed in one turn of the event loop: some milliseconds. */
const SWEEP_ROWS = 100
const ITERATOR_ROWS = 100
/** Up to this size a file is read through before it is trusted: half a second at most. */
const CHECKED_BYTES = 256 * 2 ** 20

/**
 * A damaged file is kept under another name, which `log` is told with the way back.
 * @throws StoreError
 */
export function openSqlite(file: string, log: (line: string) => void): Database {
  const database = openSound(file, log)
  const tables: SqliteTable[] = []
  const sweeping = setInterval(() => {
    for (const table of tables) void table.removeExpired()
  }, SWEEP_INTERVAL_MS).unref()
  return {
    aside: `the table ${ASIDE} of ${file}`,
    // The lock is this program's until it ends.
    lost: new AbortController().signal,
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

function openSound(file: string, log: (line: string) => void): Libsql.Database {
  try {
    return open(file)
  } catch (error) {
    const damage = storeError(error, file)
    if (damage.code !== 'damaged') throw damage
    const kept = keepAside(file)
    log(
      `${file} is damaged and is kept as ${kept}; Seedling goes on without old jobs. To bring them back, stop it and put a backup in its place, or what \`sqlite3 ${kept} .recover | sqlite3 ${file}\` saves.`,
    )
    return open(file)
  }
}

/** @throws what SQLite or the file system reports; StoreError */
function open(file: string): Libsql.Database {
  makeFolder(dirname(file), 0o700)
  makePrivate(file)
  const database = new Libsql(file)
  try {
    // The lock ends with the process, however it ends. A second bot on the same file would answer every job twice.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    if (statSync(file).size <= CHECKED_BYTES) check(database, file)
    // In WAL mode NORMAL syncs at checkpoints only: a commit takes 0.1 ms and survives a killed program; after a power cut
    // the file is sound, and the last moments before may be missing.
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = NORMAL')
    // What is deleted is private, too.
    database.exec('PRAGMA secure_delete = ON')
    // Takes the lock now, and finds a read-only disk now rather than at the first job.
    database.exec('BEGIN IMMEDIATE; COMMIT')
    migrate(database, file)
    return database
  } catch (error) {
    releaseLock(database)
    database.close()
    throw error
  }
}

/** It holds what people asked for. The files that SQLite puts beside it get the same mode. */
function makePrivate(file: string): void {
  closeSync(openSync(file, 'a', 0o600))
  chmodSync(file, 0o600)
}

function check(database: Libsql.Database, file: string): void {
  const [found] = database.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[]
  if (found!.quick_check !== 'ok') throw new StoreError('damaged', `${file} is damaged: ${found!.quick_check}.`)
}

/** @returns the name that it is kept under, with whatever SQLite had beside it */
function keepAside(file: string): string {
  const kept = `${file}.damaged-${new Date().toISOString().replace(/[:.]/g, '-')}`
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    if (existsSync(file + suffix)) renameSync(file + suffix, kept + suffix)
  }
  return kept
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
  readonly #name: string
  readonly #get: Libsql.Statement
  readonly #set: Libsql.Statement
  readonly #delete: Libsql.Statement
  readonly #clear: Libsql.Statement
  readonly #after: Libsql.Statement
  readonly #aside: Libsql.Statement
  readonly #removeExpired: Libsql.Statement

  constructor(database: Libsql.Database, name: string) {
    this.#database = database
    this.#name = name
    this.#get = database.prepare(`SELECT value FROM "${name}" WHERE key = ?`)
    this.#set = database.prepare(`INSERT OR REPLACE INTO "${name}" (key, value, expires) VALUES (?, ?, ?)`)
    this.#delete = database.prepare(`DELETE FROM "${name}" WHERE key = ?`)
    this.#clear = database.prepare(`DELETE FROM "${name}"`)
    this.#after = database.prepare(`SELECT key, value FROM "${name}" WHERE key > ? ORDER BY key LIMIT ${ITERATOR_ROWS}`)
    this.#aside = database.prepare(`INSERT INTO "${ASIDE}" SELECT ?, key, value, ? FROM "${name}" WHERE key = ?`)
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

  async setAside(key: string): Promise<void> {
    this.#opened(this.#aside).run(this.#name, Date.now(), key)
    this.#opened(this.#delete).run(key)
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
