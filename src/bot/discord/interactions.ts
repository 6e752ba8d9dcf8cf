/** What members do in Discord, as commands: `/imagine`, `/show`, the buttons, and the completion of options. */

import {
  type APIApplicationCommandAutocompleteInteraction,
  type APIInteraction,
  type APIMessage,
  ApplicationCommandType,
  ComponentType,
  InteractionResponseType,
  InteractionType,
  type REST,
  Routes,
} from 'discord.js'
import { type ActionId, parseActionId } from '../../commands/actions.ts'
import { completions } from '../../commands/options.ts'
import { type JobName, requireJobName, requireJobOf } from '../../commands/words.ts'
import { JOB_GONE, UserError } from '../../job/errors.ts'
import { isFinished, type Job } from '../../job/job.ts'
import { RefusedError } from '../platform.ts'
import { type Rooms, sentenceOf } from '../rooms.ts'
import { staleness } from '../staleness.ts'
import { viewOf } from '../view.ts'
import { verdictOn } from './errors.ts'
import {
  type ClickInteraction,
  type CommandInteraction,
  channelOf,
  contextOf,
  givenOptions,
  lineOf,
  replyOf,
  requirePermission,
  valuesOf,
} from './interaction.ts'
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

  /** Never throws or rejects: whatever goes wrong is told to the person, or else to the log. */
  handle(interaction: APIInteraction): void {
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

  async #answer(interaction: APIInteraction): Promise<void> {
    if (typeof interaction?.id !== 'string' || typeof interaction.token !== 'string')
      throw new Error('it names no answer.')
    if (this.#isRepeated(interaction.id)) return
    switch (interaction.type) {
      case InteractionType.ApplicationCommandAutocomplete:
        return this.#complete(interaction)
      case InteractionType.MessageComponent:
        return interaction.data.component_type === ComponentType.Button ? this.#click(interaction) : undefined
      case InteractionType.ApplicationCommand:
        if (interaction.data.type !== ApplicationCommandType.ChatInput) return
        return this.#command(interaction as CommandInteraction)
    }
  }

  async #command(interaction: CommandInteraction): Promise<void> {
    const line = interaction.data.name === 'imagine' ? lineOf(interaction) : undefined
    const reply = new Reply(this.#rest, interaction, DeferredChannelMessageWithSource)
    await this.#telling(reply, () => this.#run(interaction, reply), line)
  }

  /** @param line what was typed, given back with a refusal */
  async #telling(reply: Reply, act: () => Promise<void>, line?: string): Promise<void> {
    try {
      await act()
    } catch (failure) {
      const error = verdictOn(failure)
      await reply.tell(error instanceof RefusedError ? error.message : sentenceOf(error, this.#rooms.log), line)
    }
  }

  async #run(interaction: CommandInteraction, reply: Reply): Promise<void> {
    const { commands } = this.#rooms
    requirePermission(interaction)
    switch (interaction.data.name) {
      case 'imagine': {
        const job = await commands.imagine(valuesOf(interaction, commands), contextOf(interaction))
        return this.#present(job, interaction, reply)
      }
      case 'show': {
        const id = await this.#jobId(requireJobName(String(givenOptions(interaction).get('job'))))
        const job = await commands.show(id, contextOf(interaction))
        await reply.show(await this.#draw(job, interaction))
        return
      }
      default:
        throw new UserError('gone', 'That command is not there any more; use /imagine to draw.')
    }
  }

  async #click(interaction: ClickInteraction): Promise<void> {
    const id = parseActionId(interaction.data.custom_id)
    const changes = id?.action === 'cancel' || id?.action === 'delete' || id?.action === 'show'
    const reply = new Reply(this.#rest, interaction, changes ? DeferredMessageUpdate : DeferredChannelMessageWithSource)
    await this.#telling(reply, async () => {
      if (!id) throw new UserError('gone', 'This button does nothing any more; use /imagine to draw.')
      if (await this.#wasStale(id, interaction, reply)) return
      if (!changes) requirePermission(interaction)
      else await this.#renew(id, interaction, reply)
      const job = await this.#rooms.commands.act(id, contextOf(interaction))
      if (!changes) return this.#present(job, interaction, reply)
      await reply.done()
      // The click may remove what it stands under even where the bot may not, and what `/show` brought too.
      if (id.action === 'delete') await reply.remove()
    })
  }

  /**
   * A message that says what is no longer so is made true with the click's own token, whoever clicked: drawn as the job
   * stands now, or removed with a job that was deleted.
   */
  async #wasStale({ action, job: id }: ActionId, interaction: ClickInteraction, reply: Reply): Promise<boolean> {
    const { queue, commands } = this.#rooms
    const job = await queue.get(id)
    const found = staleness(action, job)
    if (found === 'gone') {
      await reply.removeClicked()
      await reply.tell(JOB_GONE)
      return true
    }
    if (!job || found === 'fresh') return false
    // Whoever sees the message may see what became of it; a copy elsewhere is asked for like any other.
    if (job.place.channel !== channelOf(interaction)) await commands.show(id, contextOf(interaction))
    await reply.update(await this.#draw(job, interaction))
    await this.#renew({ job: id }, interaction, reply)
    return true
  }

  /** Where interactions are the only way to a job's message, the click is a new one. */
  async #renew({ job: id }: Pick<ActionId, 'job'>, interaction: ClickInteraction, reply: Reply): Promise<void> {
    const { queue, presenter } = this.#rooms
    const job = await queue.get(id)
    if (!job?.place.botIsAbsent || isFinished(job) || interaction.message.id !== job.place.message) return
    await reply.done()
    this.#messages.hintInTime(await queue.replied(id, replyOf(interaction)))
    presenter.refresh(id)
  }

  /** The job's first view is the reply; where that failed the job, which is stored already, is posted anew. */
  async #present(job: Job, interaction: CommandInteraction | ClickInteraction, reply: Reply): Promise<void> {
    this.#messages.hintInTime(job)
    const { attachment_size_limit: limit } = interaction
    await this.#rooms.presenter.present(job, async (view) => reply.show(await this.#messages.draw(view, limit)))
  }

  #draw(job: Job, { attachment_size_limit: limit }: APIInteraction) {
    return this.#messages.draw(viewOf(job, this.#rooms.queue.progress(job.id)), limit)
  }

  /** @throws UserError `gone` */
  async #jobId(name: JobName): Promise<string> {
    if ('id' in name) return name.id
    const { channel, message } = name.link
    const found = await this.#rest.get(Routes.channelMessage(channel, message)).catch(() => undefined)
    return requireJobOf(jobIn(found as APIMessage | undefined))
  }

  async #complete(interaction: APIApplicationCommandAutocompleteInteraction): Promise<void> {
    const options = interaction.data.options as readonly { name: string; value?: unknown; focused?: boolean }[]
    const { name, value } = options.find(({ focused }) => focused) ?? {}
    const option = this.#rooms.commands.options.find((option) => option.name === name)
    const fitting = option ? completions(option, String(value ?? '')) : []
    const short = fitting.filter(({ length }) => length <= MAX_CHOICE_LENGTH).slice(0, MAX_CHOICES)
    const choices = short.map((choice) => ({ name: choice, value: choice }))
    const body = { type: InteractionResponseType.ApplicationCommandAutocompleteResult, data: { choices } }
    await this.#rest.post(Routes.interactionCallback(interaction.id, interaction.token), { auth: false, body })
  }
}

/** Its buttons name it. */
function jobIn(message: APIMessage | undefined): string | undefined {
  const rows = (message?.components ?? []) as readonly { components?: readonly { custom_id?: string }[] }[]
  const ids = rows.flatMap(({ components = [] }) =>
    components.map(({ custom_id = '' }) => parseActionId(custom_id)?.job),
  )
  return ids.find((id) => id !== undefined)
}
