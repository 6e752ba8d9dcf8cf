/** What members do in Slack, led to the commands. A job is stored before Slack hears that it was understood. */

import { setTimeout as delay } from 'node:timers/promises'
import type { App, BlockAction, RespondFn } from '@slack/bolt'
import { type ActionId, parseActionId } from '../../commands/actions.ts'
import type { Context } from '../../commands/commands.ts'
import { type JobName, parseLine, requireJobOf } from '../../commands/words.ts'
import { JOB_GONE } from '../../job/errors.ts'
import { type Job, jobIdOf } from '../../job/job.ts'
import { RefusedError } from '../platform.ts'
import { queueWords } from '../queue-words.ts'
import { type Rooms, sentenceOf } from '../rooms.ts'
import { viewOf } from '../view.ts'
import { type Message, messageOf, sentence, sentenceWithCode, unescapeText } from './blocks.ts'
import type { Clients } from './client.ts'
import type { Delivery } from './connection.ts'
import { verdictOn } from './errors.ts'
import { helpMessage } from './help.ts'
import type { Messages } from './messages.ts'
import { CALLBACK_ID, imagineModal, readSubmission } from './modal.ts'
import { parseMessage, placeOf } from './place.ts'
import { clickedStaleness, removeClicked } from './stale.ts'

export interface Surroundings {
  readonly rooms: Rooms
  readonly clients: Clients
  readonly messages: Messages
  /** The workspace that the bot lives in, for events that name none. */
  readonly team: () => string
  /** Shows a new job. */
  readonly present: (job: Job) => Promise<void>
}

/** Who did something, and how to tell them alone. */
interface Member {
  readonly context: Context & { readonly newId: string }
  readonly tell: (message: Message) => Promise<void>
}

/** Bolt's context, with what each delivery adds to it. */
type EventContext = Partial<Delivery> & { readonly teamId?: string | undefined }

/** Tells Slack, and so whoever asked, that all is well; the first call counts. */
type Ack = () => Promise<void>

/** Of Slack's three seconds some are spent on the way. */
const ACK_WITHIN_MS = 2000
const SLOW = 'Seedling is slow just now; if nothing appears here within a minute, please ask again.'

export function listen(app: App, { rooms, clients, messages, team, present }: Surroundings): void {
  const { commands, queue, log } = rooms

  // Whoever gives the command another name in the app's settings need not repeat it here.
  app.command(/^\//, async ({ command, context, ack, respond }) => {
    const text = unescapeText(command.text ?? '').trim()
    const { channel_id, user_id, user_name = user_id } = command
    const member = memberOf(context, channel_id, user_id, user_name, respond)
    const line = parseLine(text)
    switch (line.word) {
      case 'form':
        await ack()
        return tellMistakes(openModal(command.trigger_id), member)
      case 'help':
        return ack({ response_type: 'ephemeral', ...helpMessage(command.command, commands.options) })
      case 'queue':
        return ack({ response_type: 'ephemeral', ...sentence(queueWords(queue, member.context)) })
      case 'show':
        await ack()
        return tellMistakes(show(line.job, member), member)
      case 'draw': {
        const make = async () => commands.imagine(commands.parse(text), member.context)
        return draw(make, member, once(ack), `${command.command} ${text}`)
      }
    }
  })

  app.shortcut(CALLBACK_ID, async ({ shortcut: { trigger_id, user }, ack }) => {
    await ack()
    // A shortcut stands in no channel; a direct message reaches whoever used it.
    const tell = async (message: Message) => {
      await clients.web.chat.postMessage({ channel: user.id, ...message, unfurl_links: false, unfurl_media: false })
    }
    await tellMistakes(openModal(trigger_id), { tell })
  })

  app.view(CALLBACK_ID, async ({ view, body, context, ack, respond }) => {
    const read = readSubmission(view.state.values, commands)
    if ('mistakes' in read) return ack({ response_action: 'errors', errors: read.mistakes })
    const { values, channel } = read.submission
    const member = memberOf(context, channel, body.user.id, body.user.name, respond)
    const { prompt, ...given } = values
    const flags = Object.entries(given).map(([name, value]) => `--${name} ${value}`)
    const line = ['/imagine', prompt, ...flags].join(' ')
    await draw(() => commands.imagine(values, member.context), member, once(ack), line)
  })

  app.action({ type: 'block_actions' }, async ({ body, action, context, ack, respond }) => {
    const channel = body.channel?.id
    const asked = parseActionId('action_id' in action ? action.action_id : '')
    if (!asked || !channel || body.type !== 'block_actions') return ack()
    const { id, username, name } = body.user
    const member = memberOf(context, channel, id, username ?? name ?? id, respond)
    const act = async () => {
      if (!(await wasStale(asked, body, member, respond))) return commands.act(asked, member.context)
    }
    // Cancel and delete change a message that stands already.
    if (asked.action !== 'cancel' && asked.action !== 'delete') return draw(act, member, once(ack))
    const done = stored(act(), member, once(ack)).then(async (job) => {
      // The click may remove what it stands under even where the bot may not.
      if (job?.deletedAt) await removeClicked(body, respond, clients.web)
    })
    await tellMistakes(done, member)
  })

  function once(ack: () => Promise<void>): Ack {
    let acknowledged: Promise<void> | undefined
    return () => {
      acknowledged ??= ack()
      return acknowledged
    }
  }

  function memberOf(
    { teamId, deliveryId }: EventContext,
    channel: string,
    user: string,
    name: string,
    respond: RespondFn | undefined,
  ): Member {
    const place = placeOf(teamId ?? team(), channel, user)
    const newId = jobIdOf('slack', deliveryId!)
    const context = { author: { id: user, name }, place, newId }
    return { context, tell: (message) => tell(message, channel, user, respond) }
  }

  /** Before a restart the same event was stored, but not acknowledged. */
  async function isKnown({ context: { newId } }: Member): Promise<boolean> {
    return (await queue.get(newId)) !== undefined
  }

  /** By the event's own address, which works where the bot is no member; by name otherwise. */
  async function tell(message: Message, channel: string, user: string, respond?: RespondFn): Promise<void> {
    try {
      if (respond) {
        await respond({ response_type: 'ephemeral', replace_original: false, ...message })
        return
      }
    } catch {
      // The address expired or cannot be reached; the other way remains.
    }
    await clients.web.chat.postEphemeral({ channel, user, ...message })
  }

  /** @param line what they typed, given back to be mended */
  async function tellMistakes(acting: Promise<unknown>, { tell }: Pick<Member, 'tell'>, line?: string): Promise<void> {
    try {
      await acting
    } catch (failure) {
      const error = verdictOn(failure)
      const words = error instanceof RefusedError ? error.message : sentenceOf(error, log)
      await tell(line === undefined ? sentence(words) : sentenceWithCode(words, line))
    }
  }

  /** Acknowledges what is stored or refused; a store that takes its time is told of, so that nothing is lost without a word. */
  async function stored<T>(making: Promise<T>, { tell }: Member, ack: Ack): Promise<T> {
    const made = new AbortController()
    const late = delay(ACK_WITHIN_MS, undefined, { signal: made.signal }).then(
      () => ack().then(() => tell(sentence(SLOW))),
      () => {},
    )
    try {
      return await making
    } finally {
      made.abort()
      await late.catch(() => {})
      await ack()
    }
  }

  /** @param make gives no job where none is to be drawn */
  async function draw(make: () => Promise<Job | undefined>, member: Member, ack: Ack, line?: string): Promise<void> {
    const making = isKnown(member).then((known) => (known ? undefined : make()))
    const drawing = stored(making, member, ack).then((job) => job && present(job))
    await tellMistakes(drawing, member, line)
  }

  /** A message that says what is no longer so is made true with the click's own address, whoever clicked. */
  async function wasStale(
    { action, job: id }: ActionId,
    body: BlockAction,
    member: Member,
    respond: RespondFn,
  ): Promise<boolean> {
    const job = await queue.get(id)
    const found = clickedStaleness(action, job, body)
    if (found === 'fresh') return false
    if (found === 'outdated') {
      // Whoever sees the message may see what became of it; a copy elsewhere is asked for like any other.
      const isHere = job!.place.channel === member.context.place.channel
      const allowed = isHere ? Promise.resolve(job) : commands.show(id, member.context)
      await tellMistakes(
        allowed.then(() => respond({ replace_original: true, ...drawnAs(job!) })),
        member,
      )
      return true
    }
    await removeClicked(body, respond, clients.web)
    if (found === 'double') return false
    await member.tell(sentence(JOB_GONE))
    return true
  }

  /** For the asker alone: a second lasting copy of a message would not stay true. */
  async function show(name: JobName, member: Member): Promise<void> {
    const id = 'id' in name ? name.id : requireJobOf(await messages.jobAt(name.link))
    const job = await commands.show(id, member.context)
    const { text, blocks } = drawnAs(job)
    const { command } = viewOf(job, {})
    const again = command === undefined ? [] : sentenceWithCode('To draw it again:', command).blocks
    await member.tell({ text, blocks: [...blocks, ...again] })
  }

  function drawnAs(job: Job): Message {
    const { message } = job.place
    const files = job.pictures.length > 0 && message ? parseMessage(message).files : []
    return messageOf(viewOf(job, queue.progress(job.id)), files)
  }

  async function openModal(trigger_id: string): Promise<void> {
    await clients.web.views.open({ trigger_id, view: imagineModal(commands.options) })
  }
}
