/** What a database offers the job store: Keyv adapters, one a namespace, over one connection. */

import type { KeyvStoreAdapter } from 'keyv'

/** As much of Keyv's adapter as is used, and a way through the keys: Keyv itself offers none for adapters that it does not know. */
export type Adapter = Pick<KeyvStoreAdapter, 'get' | 'set' | 'delete' | 'clear'> & {
  iterator(namespace: string): AsyncGenerator<[key: string, value: unknown]>
}

export interface Database {
  adapter(namespace: string): Adapter
  /** Says what failed in a sentence for the operator. */
  error(cause: unknown): Error
  close(): Promise<void>
}
