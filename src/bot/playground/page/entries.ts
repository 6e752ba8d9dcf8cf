/** What stands in the chat, one below the other. */

import type { Message } from '../message.ts'

export type Entry = JobEntry | DeletedEntry | NoteEntry | HelpEntry

export interface JobEntry {
  readonly kind: 'job'
  readonly key: string
  readonly message: Message
}

/** What stands in a deleted message's place, as high as it was, so that nothing else moves under a pointer. */
export interface DeletedEntry {
  readonly kind: 'deleted'
  readonly key: string
  readonly prompt: string
  /** In CSS pixels. */
  readonly height: number
  /** It can still be had back. */
  readonly undoable: boolean
}

/** An answer that only this visitor sees. */
export interface NoteEntry {
  readonly kind: 'note'
  readonly key: string
  readonly time: number
  /** What was typed or clicked. */
  readonly line: string
  /** It was typed, so it can be corrected. */
  readonly typed: boolean
  readonly text: string
  /** How often this was the answer to that. */
  readonly times: number
}

export interface HelpEntry {
  readonly kind: 'help'
  readonly key: string
  readonly time: number
}
