/** What members do in Discord, as commands: `/imagine`, `/show`, the buttons, and the completion of options. */

import {
  type AutocompleteInteraction,
  type BaseInteraction,
  type ButtonInteraction,
  type ChatInputCommandInteraction,
  type Interaction,
  InteractionResponseType,
  PermissionFlagsBits,
  type REST,
  Routes,
} from 'discord.js'
import { parseActionId } from '../../commands/actions.ts'
import type { Commands, Context } from '../../commands/commands.ts'
import { completions, type OptionValues } from '../../commands/options.ts'
import { UserError } from '../../job/errors.ts'
import type { Job } from '../../job/job.ts'
import { type Rooms, sentenceOf } from '../rooms.ts'
import { viewOf } from '../view.ts'
import type { Messages } from './messages.ts'
import { Reply } from './reply.ts'

const { DeferredChannelMessageWithSource, DeferredMessageUpdate } = InteractionResponseType
/** More than arrive while a lost connection is taken up again. */
const REMEMBERED_INTERACTIONS = 1000
const MAX_CHOICES = 25
/** Of a choice's name and value. */
const MAX_CHOICE_LENGTH = 100

export class Interactions {
  readonly #rest: REST
  readonly #messages: Messages
  readonly #rooms: Rooms
  readonly #seen = new Set<string>()
  readonly #running = new Set<Promise<void>>()

  constructor(rest: REST, messages: Messages, rooms: Rooms) {
    this.#rest = rest
    this.#messages = messages
    this.#rooms = rooms
  }

  /** Never rejects: whatever goes wrong is told to the person, or else to the log. */
  handle(interaction: Interaction): void {
    if (this.#isRepeated(interaction.id)) return
    const running = this.#answer(interaction)
      .catch((error) => this.#rooms.log(`Discord: an interaction was not answered: ${(error as Error).message}`))
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Resolves when everything that was begun is answered. */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** A connection that was taken up again may tell the last interactions twice. */
  #isRepeated(id: string): boolean {
    if (this.#seen.has(id)) return true
    this.#seen.add(id)
    if (this.#seen.size > REMEMBERED_INTERACTIONS) this.#seen.delete(this.#seen.values().next().value!)
    return false
  }

  async #answer(interaction: Interaction): Promise<void> {
    if (interaction.isAutocomplete()) return this.#complete(interaction)
    if (interaction.isButton()) return this.#click(interaction)
    if (!interaction.isChatInputCommand()) return
    const reply = new Reply(this.#rest, interaction, DeferredChannelMessageWithSource)
    await this.#telling(reply, () => this.#command(interaction, reply))
  }

  async #telling(reply: Reply, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      await reply.tell(sentenceOf(error, this.#rooms.log))
    }
  }

  async #command(interaction: ChatInputCommandInteraction, reply: Reply): Promise<void> {
    const { commands, queue } = this.#rooms
    requirePermission(interaction)
    switch (interaction.commandName) {
      case 'imagine': {
        const job = await commands.imagine(valuesOf(interaction, commands), contextOf(interaction))
        return this.#present(job, interaction, reply)
      }
      case 'show': {
        const id = interaction.options.getString('job', true).trim()
        const job = await commands.show(id, contextOf(interaction))
        await reply.show(await this.#messages.draw(viewOf(job, queue.progress(job.id)), interaction))
        return
      }
      default:
        throw new UserError('gone', 'That command is not there any more; use /imagine to draw.')
    }
  }

  async #click(interaction: ButtonInteraction): Promise<void> {
    const id = parseActionId(interaction.customId)
    const changes = id?.action === 'cancel' || id?.action === 'delete'
    const reply = new Reply(this.#rest, interaction, changes ? DeferredMessageUpdate : DeferredChannelMessageWithSource)
    await this.#telling(reply, async () => {
      if (!id) throw new UserError('gone', 'This button does nothing any more; use /imagine to draw.')
      if (!changes) requirePermission(interaction)
      const job = await this.#rooms.commands.act(id, contextOf(interaction))
      if (!changes) return this.#present(job, interaction, reply)
      await reply.done()
      // What `/show` brought is not the job's own message, which the presenter removes.
      if (id.action === 'delete' && interaction.message.id !== job.place.message) await reply.remove()
    })
  }

  /** The job's first view is the reply; where that failed the job, which is stored already, is posted anew. */
  async #present(job: Job, interaction: BaseInteraction, reply: Reply): Promise<void> {
    const { presenter, log } = this.#rooms
    this.#messages.remember(job.id, interaction)
    try {
      await presenter.present(job, async (view) => reply.show(await this.#messages.draw(view, interaction)))
    } catch (error) {
      log(`Discord: the reply that shows job ${job.id} failed, so it is posted: ${(error as Error).message}`)
      presenter.resume(job)
    }
  }

  async #complete(interaction: AutocompleteInteraction): Promise<void> {
    const { name, value } = interaction.options.getFocused(true)
    const option = this.#rooms.commands.options.find((option) => option.name === name)
    const fitting = option ? completions(option, value).filter(({ length }) => length <= MAX_CHOICE_LENGTH) : []
    await interaction.respond(fitting.slice(0, MAX_CHOICES).map((choice) => ({ name: choice, value: choice })))
  }
}

/** Flags may stand in the prompt as well; an option of its own wins. */
function valuesOf({ options }: ChatInputCommandInteraction, commands: Commands): OptionValues {
  const given = options.data.filter(({ name }) => name !== 'prompt').map(({ name, value }) => [name, value])
  return { ...commands.parse(options.getString('prompt', true)), ...Object.fromEntries(given) }
}

function contextOf(interaction: ButtonInteraction | ChatInputCommandInteraction): Context {
  const { user, member, guildId, channelId, applicationId, token } = interaction
  const nickname = member && ('nickname' in member ? member.nickname : member.nick)
  return {
    author: { id: user.id, name: nickname ?? user.displayName },
    place: {
      platform: 'discord',
      guild: guildId ?? `dm:${user.id}`,
      channel: channelId,
      reply: Routes.webhookMessage(applicationId, token),
    },
  }
}

/** Better said before the work than after it. No permission at all means that Discord did not tell. */
function requirePermission({ appPermissions }: BaseInteraction): void {
  if (appPermissions.bitfield === 0n || appPermissions.has(PermissionFlagsBits.AttachFiles)) return
  throw new UserError(
    'unavailable',
    'Seedling lacks the permission “Attach Files” in this channel; ask those who run this server to allow it.',
  )
}
