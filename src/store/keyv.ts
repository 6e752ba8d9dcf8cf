/** What a database offers the job store: Keyv adapters, one a namespace, over one connection. */

import type { KeyvStoreAdapter } from 'keyv'

/** As much of Keyv's adapter as is used, and what Keyv itself does not offer. */
export type Adapter = Pick<KeyvStoreAdapter, 'get' | 'set' | 'delete' | 'clear'> & {
  iterator(namespace: string): AsyncGenerator<[key: string, value: unknown]>
  /** Takes a record out of the way, and keeps it for whoever wants to look at it. */
  setAside(key: string): Promise<void>
}

export interface Database {
  adapter(namespace: string): Adapter
  /** Where `setAside` puts things, for the operator. */
  readonly aside: string
  /** Aborts when another program has taken over. */
  readonly lost: AbortSignal
  /** Says what failed in a sentence for the operator. */
  error(cause: unknown): Error
  close(): Promise<void>
}

/** As the job store names its tables. */
export const NAMESPACES = ['seedling:jobs', 'seedling:unanswered', 'seedling:measures'] as const
