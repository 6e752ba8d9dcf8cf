/** The chat's state: what stands in it, kept true by the event stream, and what a typed line does. */

import type { Events, Message, Session } from '../message.ts'
import { act, imagine, openSession, show } from './api.ts'
import { forgetJob, knownJobs, rememberJob } from './memory.ts'

export type Entry = JobEntry | NoteEntry | HelpEntry

export interface JobEntry {
  readonly kind: 'job'
  readonly key: string
  readonly message: Message
}

/** An answer that only this visitor sees. */
export interface NoteEntry {
  readonly kind: 'note'
  readonly key: string
  readonly time: number
  /** What was typed or clicked. */
  readonly line: string
  readonly text: string
}

export interface HelpEntry {
  readonly kind: 'help'
  readonly key: string
  readonly time: number
}

export type Connection = 'starting' | 'live' | 'lost'

const RECONNECT_MS = 1000
/** How long the stream may take to tell of a new job. */
const SILENCE_MS = 3000
const MAX_FOLLOWED = 100

export class Chat {
  session: Session | undefined
  connection: Connection = 'starting'
  /** What a screen reader is told. */
  announcement = ''
  /** The job that `/show` or a link asks to look at. */
  shown: { readonly job: string } | undefined
  readonly #listeners = new Set<() => void>()
  /** Keys in the order in which they stand in the chat. */
  #order: string[] = knownJobs()
  readonly #messages = new Map<string, Message>()
  readonly #notes = new Map<string, NoteEntry | HelpEntry>()
  /** Jobs that the stream told of. */
  readonly #heard = new Set<string>()
  #source: EventSource | undefined
  #notesMade = 0
  /** Counts attempts to connect; only the newest one may go on. */
  #connections = 0

  async start(): Promise<void> {
    document.addEventListener('visibilitychange', () => {
      // A browser opens few connections to one host, so a tab that nobody looks at gives its own back.
      if (document.visibilityState === 'hidden') this.#disconnect()
      else if (!this.#source) void this.#connect()
    })
    const showLinked = () => {
      const job = /^#([0-9a-f]{16})$/u.exec(location.hash)?.[1]
      if (!job) return
      history.replaceState(null, '', location.pathname)
      void this.send(`/show ${job}`)
    }
    window.addEventListener('hashchange', showLinked)
    await this.#connect()
    showLinked()
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get entries(): Entry[] {
    return this.#order.flatMap((key): Entry[] => {
      const message = this.#messages.get(key)
      if (message) return [{ kind: 'job', key, message }]
      return this.#notes.has(key) ? [this.#notes.get(key)!] : []
    })
  }

  /** True once it is known that nothing is there, so that the welcome does not flash up before the messages. */
  get empty(): boolean {
    return this.session !== undefined && this.#order.length === 0
  }

  /** Does what a line says; plain text draws, as `/imagine` does. False where it was refused. */
  async send(line: string): Promise<boolean> {
    const [, command, rest = ''] = /^\/(\S*)\s*([\s\S]*)$/u.exec(line.trim()) ?? ['', 'imagine', line]
    if (command === 'help') return this.#note({ kind: 'help' })
    return this.#attempt(line, async () => {
      if (command === 'imagine') this.#add(await imagine(rest))
      else if (command === 'show') this.#look(await show(rest.replace(/^.*#/u, '').trim()))
      else throw new Error(`/${command!.slice(0, 40)} is not a command here; use /imagine, /show or /help.`)
    })
  }

  /** Does what a button says; `line` is what the button is called. */
  async press(id: string, line: string): Promise<boolean> {
    return this.#attempt(line, async () => {
      const message = await act(id)
      if (message) this.#add(message)
    })
  }

  dismiss(key: string): void {
    this.#notes.delete(key)
    this.#order = this.#order.filter((known) => known !== key)
    this.#changed()
  }

  async #attempt(line: string, doIt: () => Promise<void>): Promise<boolean> {
    try {
      await doIt()
      return true
    } catch (error) {
      const { message } = error as Error
      this.announcement = message
      this.#note({ kind: 'note', line, text: message })
      return false
    }
  }

  #note(note: Pick<HelpEntry, 'kind'> | Pick<NoteEntry, 'kind' | 'line' | 'text'>): true {
    const key = `note-${++this.#notesMade}`
    this.#notes.set(key, { ...note, key, time: Date.now() } as NoteEntry | HelpEntry)
    this.#order.push(key)
    this.#changed()
    return true
  }

  /** The stream may have told of it already, and more. One that stays silent is no longer ours: it is opened again. */
  #add(message: Message): void {
    if (!this.#messages.has(message.job)) this.#receive(message)
    setTimeout(() => this.#heard.has(message.job) || this.#connect(), SILENCE_MS)
  }

  #look(message: Message): void {
    this.#receive(message)
    this.shown = { job: message.job }
    this.#changed()
  }

  #receive(message: Message): void {
    const before = this.#messages.get(message.job)
    if (!this.#order.includes(message.job)) this.#order.push(message.job)
    this.#messages.set(message.job, message)
    rememberJob(message.job)
    if (before?.state !== message.state) this.#announce(message, before !== undefined)
    this.#changed()
  }

  #announce({ state, prompt, status, pictures }: Message, isNews: boolean): void {
    if (state === 'queued') this.announcement = `${status}: ${prompt}`
    else if (state === 'running') this.announcement = `Drawing: ${prompt}`
    else if (isNews && state === 'done') {
      this.announcement = `${pictures.length === 1 ? 'The picture is' : `${pictures.length} pictures are`} ready: ${prompt}`
    } else if (isNews) this.announcement = status
  }

  #forget(job: string): void {
    if (this.#messages.has(job)) this.announcement = 'Deleted'
    this.#messages.delete(job)
    this.#order = this.#order.filter((key) => key !== job)
    forgetJob(job)
    this.#changed()
  }

  /** Opens the event stream; what it says of every job known here comes first, so nothing is missed in between. */
  async #connect(): Promise<void> {
    this.#disconnect()
    const number = ++this.#connections
    try {
      this.session = await openSession()
    } catch {
      this.#lost(number)
      return
    }
    if (number === this.#connections) this.#listen(number)
  }

  #listen(number: number): void {
    const jobs = this.#order.filter((key) => !this.#notes.has(key)).slice(-MAX_FOLLOWED)
    const source = new EventSource(`/api/events?jobs=${jobs.join(',')}`)
    this.#source = source
    const on = <Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void) =>
      source.addEventListener(name, (event) => listener(JSON.parse(event.data)))
    on('job', (message) => {
      this.#heard.add(message.job)
      this.#receive(message)
    })
    on('removed', ({ job }) => {
      this.#heard.add(job)
      this.#forget(job)
    })
    source.addEventListener('open', () => this.#become('live'))
    source.addEventListener('error', () => {
      source.close()
      this.#lost(number)
    })
  }

  #lost(number: number): void {
    if (number !== this.#connections) return
    this.#become('lost')
    setTimeout(() => number === this.#connections && this.#connect(), RECONNECT_MS)
  }

  #disconnect(): void {
    this.#connections++
    this.#source?.close()
    this.#source = undefined
  }

  #become(connection: Connection): void {
    this.connection = connection
    this.#changed()
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
