/** A person in the fake Discord: types commands, clicks buttons, and sees what comes of it. */

import { once } from 'node:events'
import type { Body } from './contract.ts'
import type { FakeMessage } from './message.ts'
import { type Channel, type Person, userOf, type World } from './world.ts'

const TYPES = { 3: 'string', 4: 'number', 5: 'boolean', 10: 'number' } as Record<number, string>
/** Everything but what a test takes away: view the channel, send messages, attach files. */
const PERMISSIONS = (1n << 10n) | (1n << 11n)
const ATTACH_FILES = 1n << 15n
/** Discord itself waits for three seconds; a machine that is busy with other work may need longer. */
const PATIENCE_MS = 30_000

export type Dispatch = (event: string, data: Body) => void

export class Member {
  readonly #world: World
  readonly #dispatch: Dispatch
  readonly #person: Person
  readonly #channel: Channel

  constructor(world: World, dispatch: Dispatch, person: Person, channel: Channel) {
    this.#world = world
    this.#dispatch = dispatch
    this.#person = person
    this.#channel = channel
  }

  get id(): string {
    return this.#person.id
  }

  /** The same person in another channel. */
  in(channel: Channel): Member {
    return new Member(this.#world, this.#dispatch, this.#person, channel)
  }

  /**
   * Types a command, and gives what appears: the answer, a message that is announced, or a sentence for this person only.
   * Rejects when nothing does for three seconds. As in Discord, nothing can be typed that the command does not take.
   */
  async types(
    command: `/${string}`,
    options: Readonly<Record<string, string | number | boolean>> = {},
  ): Promise<FakeMessage> {
    const registered = this.#command(command)
    const given = registered.options.filter(({ name }: Body) => name in options)
    const unknown = Object.keys(options).filter((name) => !given.some((option: Body) => option.name === name))
    if (unknown.length > 0) throw new Error(`${command} has no option ${unknown.join(', ')}`)
    for (const option of registered.options) requireAllowed(option, options[option.name])
    const data = {
      id: this.#world.application,
      name: registered.name,
      type: 1,
      options: given.map(({ name, type }: Body) => ({ name, type, value: options[name] })),
    }
    return (await this.#interact(2, data)) as FakeMessage
  }

  /** Begins to type an option's value, and gives what is offered. */
  async completes(command: `/${string}`, option: string, typed: string): Promise<string[]> {
    const { name, options } = this.#command(command)
    const { type, autocomplete } = options.find((known: Body) => known.name === option)
    if (!autocomplete) throw new Error(`${command} does not complete ${option}`)
    const focused = { name: option, type, value: typed, focused: true }
    return (await this.#interact(4, { id: this.#world.application, name, type: 1, options: [focused] })) as string[]
  }

  /** Clicks a button by its label, and gives what appears; the message itself where nothing new does. */
  async clicks(message: FakeMessage, label: string): Promise<FakeMessage> {
    return this.clicksId(message, message.customId(label))
  }

  /** Clicks a button whatever its id, as one of an earlier version would be. */
  async clicksId(message: FakeMessage, customId: string): Promise<FakeMessage> {
    return (await this.#interact(3, { custom_id: customId, component_type: 2 }, message)) as FakeMessage
  }

  /** Everything that only this person was told, oldest first, without what was given back to be copied. */
  get told(): string[] {
    return this.#whispers.map(({ text }) => text.replaceAll('\n[codeBlock]', ''))
  }

  /** What was given back to be copied, in the order of `told`. */
  get givenBack(): string[] {
    return this.#whispers.flatMap(({ codes }) => codes)
  }

  /** Resolves when this person was told something like it. */
  async hears(pattern: RegExp): Promise<void> {
    while (!this.told.some((text) => pattern.test(text))) await once(this.#world, 'message')
  }

  get #whispers(): FakeMessage[] {
    return [...this.#world.whispers].filter(([, { id }]) => id === this.id).map(([message]) => message)
  }

  #command(command: string): Body {
    const found = this.#world.commands.find(({ name }) => `/${name}` === command)
    if (!found) throw new Error(`${command} is not registered`)
    return found
  }

  async #interact(type: number, data: Body, target?: FakeMessage): Promise<FakeMessage | string[]> {
    const channel = target ? this.#world.channels.get(target.channel)! : this.#channel
    const message = target?.toJSON(userOf(this.#world.bot, true))
    return new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        interaction.expired = true
        reject(new Error('The application did not respond'))
      }, PATIENCE_MS)
      const answered = (seen: FakeMessage | string[]) => {
        clearTimeout(patience)
        resolve(seen)
      }
      const interaction = this.#world.interaction({ person: this.#person, channel, target, answered })
      const payload = { ...this.#payload(interaction, channel), type, data, ...(message && { message }) }
      this.#dispatch('INTERACTION_CREATE', payload)
    })
  }

  #payload({ id, token }: { id: string; token: string }, channel: Channel): Body {
    const { guild } = channel
    const user = userOf(this.#person)
    return {
      id,
      token,
      application_id: this.#world.application,
      version: 1,
      channel_id: channel.id,
      channel: { id: channel.id, type: channel.type, ...(guild ? { guild_id: guild, name: 'art' } : {}) },
      ...(guild
        ? { guild_id: guild, member: { user, nick: this.#person.nick, roles: [], permissions: '0' } }
        : { user }),
      app_permissions: String(PERMISSIONS | (channel.botAttaches ? ATTACH_FILES : 0n)),
      attachment_size_limit: this.#world.attachmentLimit,
      authorizing_integration_owners: guild && !channel.isForeign ? { 0: guild } : { 1: this.id },
      context: { 0: 0, 1: 1, 3: 2, 11: 0 }[channel.type],
      entitlements: [],
      locale: 'en-GB',
    }
  }
}

/** Discord's own client does not let people type anything else. */
function requireAllowed({ name, type, required, min_value, max_value, max_length }: Body, value: unknown): void {
  const wrong = (why: string) => new Error(`Discord does not let anybody type ${name}: ${value} (${why})`)
  if (value === undefined) {
    if (required) throw wrong('it is required')
    return
  }
  if (typeof value !== TYPES[type]) throw wrong('its type')
  if (type === 4 && !Number.isInteger(value)) throw wrong('a whole number')
  if ((value as number) < min_value || (value as number) > max_value) throw wrong('its range')
  if (String(value).length > max_length) throw wrong('its length')
}
