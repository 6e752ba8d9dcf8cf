/** The chat's state: what stands in it, kept true by the event stream, and what a typed line does. */

import type { Events, Message, Session } from '../message.ts'
import { act, imagine, openSession, Refusal, show } from './api.ts'
import type { DeletedEntry, Entry, HelpEntry, NoteEntry } from './entries.ts'
import { forgetJob, knownJobs, rememberJob } from './memory.ts'

export type Connection = 'starting' | 'live' | 'lost'

const RECONNECT_MS = 1000
const MAX_RECONNECT_MS = 30_000
/** How long a deletion can be taken back; only then it is carried out, or when the page is hidden. */
const UNDO_MS = 6000
/** More refusals would push what is drawn out of view. */
const MAX_NOTES = 3
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
  /** The job whose deletion was taken back last. */
  restored: string | undefined
  readonly #listeners = new Set<() => void>()
  /** Keys in the order in which they stand in the chat. */
  #order: string[] = knownJobs()
  readonly #messages = new Map<string, Message>()
  readonly #notes = new Map<string, NoteEntry | HelpEntry>()
  readonly #deleted = new Map<string, DeletedEntry>()
  /** What carries out a deletion that can still be taken back, by job. */
  readonly #deleting = new Map<string, number>()
  /** Jobs that the stream told of. */
  readonly #heard = new Set<string>()
  #source: EventSource | undefined
  #notesMade = 0
  /** Counts attempts to connect; only the newest one may go on. */
  #connections = 0
  #reconnectMs = RECONNECT_MS

  async start(): Promise<void> {
    document.addEventListener('visibilitychange', () => {
      // A browser opens few connections to one host, so a tab that nobody looks at gives its own back.
      if (document.visibilityState === 'hidden') {
        // It may be left for good.
        for (const job of this.#deleting.keys()) void this.#delete(job)
        this.#disconnect()
      } else if (!this.#source) void this.#connect()
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
      if (this.#deleted.has(key)) return [this.#deleted.get(key)!]
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
    const [, word = '', rest = ''] = /^\/(\S*)\s*([\s\S]*)$/u.exec(line.trim()) ?? ['', 'imagine', line]
    const command = word.toLowerCase()
    if (command === 'help') return this.#note({ kind: 'help' })
    return this.#attempt(line, async () => {
      if (command === 'imagine') this.#add(await imagine(rest))
      else if (command === 'show') this.#look(await show(rest.replace(/^\S*#/u, '').trim()))
      else throw new Error(`/${word.slice(0, 40)} is not a command here; use /imagine, /show or /help.`)
    })
  }

  /** Does what a button says; `line` is what the button is called. */
  async press(id: string, line: string): Promise<boolean> {
    const [action, , job = ''] = id.split(':')
    if (action === 'delete') return this.#deleteLater(job)
    return this.#attempt(
      line,
      async () => {
        const message = await act(id)
        if (message) this.#add(message)
      },
      { typed: false },
    )
  }

  /** Takes back a deletion that is not carried out yet. */
  undo(job: string): void {
    clearTimeout(this.#deleting.get(job))
    this.#deleting.delete(job)
    this.#deleted.delete(job)
    this.restored = job
    this.announcement = 'Not deleted'
    this.#changed()
  }

  dismiss(key: string): void {
    this.#notes.delete(key)
    this.#deleted.delete(key)
    this.#order = this.#order.filter((known) => known !== key)
    this.#changed()
  }

  async #attempt(line: string, doIt: () => Promise<void>, { typed } = { typed: true }): Promise<boolean> {
    try {
      await doIt()
      return true
    } catch (error) {
      this.#refuse(line, typed, (error as Error).message)
      return false
    }
  }

  /** The same answer to the same line stands once, and counts. */
  #refuse(line: string, typed: boolean, text: string): void {
    const notes = [...this.#notes.values()].filter((note) => note.kind === 'note')
    const same = notes.find((note) => note.line === line && note.text === text)
    const others = notes.filter((note) => note !== same)
    for (const { key } of [...(same ? [same] : []), ...others.slice(0, Math.max(0, others.length - MAX_NOTES + 1))])
      this.dismiss(key)
    const times = (same?.times ?? 0) + 1
    this.announcement = times === 1 ? text : `${text} (${times} times)`
    this.#note({ kind: 'note', line, typed, text, times })
  }

  #note(note: Pick<HelpEntry, 'kind'> | Omit<NoteEntry, 'key' | 'time'>): true {
    const key = `note-${++this.#notesMade}`
    this.#notes.set(key, { ...note, key, time: Date.now() } as NoteEntry | HelpEntry)
    this.#order.push(key)
    this.#changed()
    return true
  }

  /** The stream may have told of it already, and more. One that stays silent is no longer ours: it is opened again. */
  #add(message: Message): void {
    for (const { key, undoable } of this.#deleted.values()) if (!undoable) this.dismiss(key)
    if (!this.#messages.has(message.job)) this.#receive(message)
    setTimeout(() => this.#heard.has(message.job) || this.#connect(), SILENCE_MS)
  }

  #look(message: Message): void {
    if (this.#deleted.has(message.job)) this.undo(message.job)
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

  #deleteLater(job: string): true {
    const message = this.#messages.get(job)
    if (!message || this.#deleted.has(job)) return true
    this.#leavePlace(message, { undoable: true })
    this.#deleting.set(
      job,
      window.setTimeout(() => void this.#delete(job), UNDO_MS),
    )
    return true
  }

  async #delete(job: string): Promise<void> {
    clearTimeout(this.#deleting.get(job))
    this.#deleting.delete(job)
    const done = await this.#attempt('Delete', () => act(`delete:0:${job}`).then(() => {}), { typed: false })
    if (done) this.#forget(job)
    else this.undo(job)
  }

  #leavePlace({ job, prompt }: Message, { undoable }: Pick<DeletedEntry, 'undoable'>): void {
    const element = document.getElementById(`job-${job}`)
    const height = this.#deleted.get(job)?.height ?? element?.getBoundingClientRect().height ?? 0
    this.#deleted.set(job, { kind: 'deleted', key: job, prompt, height, undoable })
    this.announcement = 'Deleted'
    this.#changed()
  }

  /** What stood in the chat leaves its place; what never did, or was known from an earlier visit alone, leaves none. */
  #forget(job: string): void {
    forgetJob(job)
    clearTimeout(this.#deleting.get(job))
    this.#deleting.delete(job)
    const message = this.#messages.get(job)
    this.#messages.delete(job)
    if (message) this.#leavePlace(message, { undoable: false })
    else if (!this.#deleted.has(job)) this.dismiss(job)
  }

  /** Opens the event stream; what it says of every job known here comes first, so nothing is missed in between. */
  async #connect(): Promise<void> {
    this.#disconnect()
    const number = ++this.#connections
    try {
      this.session = await openSession()
    } catch (error) {
      // The login was taken back: the page in this one's place asks for another.
      if (error instanceof Refusal && error.status === 401) location.reload()
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
    source.addEventListener('open', () => {
      this.#reconnectMs = RECONNECT_MS
      this.#become('live')
    })
    source.addEventListener('error', () => {
      source.close()
      this.#lost(number)
    })
  }

  #lost(number: number): void {
    if (number !== this.#connections) return
    this.#become('lost')
    setTimeout(() => number === this.#connections && this.#connect(), this.#reconnectMs)
    this.#reconnectMs = Math.min(2 * this.#reconnectMs, MAX_RECONNECT_MS)
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
