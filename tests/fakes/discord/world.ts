/** What the fake Discord consists of: channels, messages, interactions. Every part of the fake reads and changes it here. */

import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Body, UploadedFile } from './contract.ts'
import { FakeMessage } from './message.ts'

export interface Channel {
  readonly id: string
  /** 0 a guild's text channel, 1 a direct message with the bot, 3 a group of people without the bot, 11 a thread. */
  readonly type: 0 | 1 | 3 | 11
  readonly guild: string | undefined
  /** Members use the bot there though their guild did not install it. */
  readonly isForeign: boolean
  /** Nothing in it may be changed, until somebody posts. */
  isArchived: boolean
  /** Nor may anybody without special permission post. */
  isLocked: boolean
  /** The bot may look at it with its own token. */
  botSees: boolean
  /** The bot may attach files in it. */
  botAttaches: boolean
  deleted: boolean
}

/** A person as the API gives them. */
export interface Person {
  readonly id: string
  readonly username: string
  readonly nick: string | null
}

export interface Interaction {
  readonly id: string
  readonly token: string
  readonly person: Person
  readonly channel: Channel
  /** The message whose button was clicked. */
  readonly target: FakeMessage | undefined
  /** Its type in answers: none yet, 4 a message, 5 a message that is announced, 6 nothing new, 8 choices. */
  answer: number | undefined
  /** The message that answers it, or the clicked one. */
  original: FakeMessage | undefined
  expired: boolean
  /** Resolves the member's wait with what they see first. */
  readonly answered: (seen: FakeMessage | string[]) => void
}

const EPOCH = 1_420_070_400_000

/** Emits `message` when one appears. */
export class World extends EventEmitter<{ message: [FakeMessage] }> {
  #snowflakes = 0
  readonly application = this.snowflake()
  readonly guild = this.snowflake()
  readonly bot: Person = { id: this.application, username: 'seedling', nick: null }
  readonly channels = new Map<string, Channel>()
  readonly messages = new Map<string, FakeMessage>()
  readonly interactions = new Map<string, Interaction>()
  /** The commands that the bot registered. */
  commands: Body[] = []
  /** By message: the only person who sees it. */
  readonly whispers = new Map<FakeMessage, Person>()
  /** How long ago the next interactions were made: they came late, or have little time left. */
  interactionAgeMs = 0
  /** What one file may have in bytes. */
  attachmentLimit = 10 * 2 ** 20

  /** As large as Discord's, so that whoever takes them for numbers is found out. */
  snowflake(ageMs = 0): string {
    return String((BigInt(Date.now() - ageMs - EPOCH) << 22n) + BigInt(++this.#snowflakes))
  }

  channel(
    type: Channel['type'],
    { isForeign = false, guild: given }: { isForeign?: boolean; guild?: string } = {},
  ): Channel {
    const home = given ?? (isForeign ? this.snowflake() : this.guild)
    const guild = type === 0 || type === 11 ? home : undefined
    const channel = {
      id: this.snowflake(),
      type,
      guild,
      isForeign,
      isArchived: false,
      isLocked: false,
      botSees: type !== 3 && !isForeign,
      botAttaches: true,
      deleted: false,
    }
    this.channels.set(channel.id, channel)
    return channel
  }

  /** A new message; `body` may be only the flags of one that is announced. */
  message(channel: string, type: number, body: Body, files: readonly UploadedFile[], person: Person): FakeMessage {
    const message = new FakeMessage(this.snowflake(), channel, type)
    message.flags = (body?.flags ?? 0) & 64
    this.messages.set(message.id, message)
    if (message.ephemeral) this.whispers.set(message, person)
    if (body?.content === undefined) message.loading = true
    else message.set(body, files)
    this.emit('message', message)
    return message
  }

  interaction(fields: Pick<Interaction, 'person' | 'channel' | 'target' | 'answered'>): Interaction {
    const token = randomBytes(32).toString('base64url')
    const interaction = {
      id: this.snowflake(this.interactionAgeMs),
      token,
      answer: undefined,
      original: fields.target,
      expired: false,
      ...fields,
    }
    this.interactions.set(token, interaction)
    return interaction
  }
}

/** The person's account, as the API gives it. */
export function userOf({ id, username }: Person, bot = false): Body {
  return { id, username, global_name: username, discriminator: '0', avatar: null, bot, system: false }
}
