/** What each version of the database brought: a file of an older one is brought up, step by step, when it is opened. */

import type Libsql from 'libsql'
import { StoreError } from './errors.ts'
import { NAMESPACES } from './keyv.ts'

/** Where records go that cannot be read. */
export const ASIDE = 'seedling:aside'

type Migration = (database: Libsql.Database) => void

/** The first brings a new file to version 1, and so on. What was released is never changed. */
const MIGRATIONS: readonly Migration[] = [tables]

/** Version 0 had no number: the same tables, and in finished jobs the tokens of interactions that ended long ago. */
function tables(database: Libsql.Database): void {
  for (const name of NAMESPACES) {
    database.exec(
      `CREATE TABLE IF NOT EXISTS "${name}" (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires INTEGER) WITHOUT ROWID`,
    )
    database.exec(`CREATE INDEX IF NOT EXISTS "${name}_expires" ON "${name}" (expires) WHERE expires IS NOT NULL`)
  }
  database.exec(`CREATE TABLE "${ASIDE}" (namespace TEXT NOT NULL, key TEXT NOT NULL, value, at INTEGER NOT NULL)`)
  database.exec(
    `UPDATE "${NAMESPACES[0]}" SET value = json_remove(value, '$.value.place.reply')
     WHERE json_valid(value) AND value ->> '$.value.answeredAt' IS NOT NULL`,
  )
}

/** @throws StoreError `version` where a newer Seedling wrote the file; what SQLite reports */
export function migrate(database: Libsql.Database, file: string): void {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
  if (version > MIGRATIONS.length) {
    throw new StoreError(
      'version',
      `${file} was written by a newer Seedling (version ${version} of its tables; this one knows ${MIGRATIONS.length}): run that one, or set SEEDLING_DATA to another folder.`,
    )
  }
  for (const [index, migration] of MIGRATIONS.entries()) {
    if (index >= version) step(database, migration, index + 1)
  }
}

/** All of it or nothing. */
function step(database: Libsql.Database, migration: Migration, version: number): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    migration(database)
    database.exec(`PRAGMA user_version = ${version}`)
    database.exec('COMMIT')
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}
