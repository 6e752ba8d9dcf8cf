/** What members do in Slack, led to the commands; each event is acknowledged before anything that could take its time. */

import type { App, RespondFn } from '@slack/bolt'
import { parseActionId } from '../../commands/actions.ts'
import type { Context } from '../../commands/commands.ts'
import type { OptionValues } from '../../commands/options.ts'
import { UserError } from '../../job/errors.ts'
import type { Job } from '../../job/job.ts'
import { PlaceGoneError } from '../platform.ts'
import { type Rooms, sentenceOf } from '../rooms.ts'
import { viewOf } from '../view.ts'
import { type Message, messageOf, sentence, sentenceWithCode, unescapeText } from './blocks.ts'
import type { Clients } from './client.ts'
import { helpMessage } from './help.ts'
import { CALLBACK_ID, imagineModal, readSubmission } from './modal.ts'
import { parseMessage, placeOf } from './place.ts'

export interface Surroundings {
  readonly rooms: Rooms
  readonly clients: Clients
  /** The workspace that the bot lives in, for events that name none. */
  readonly team: () => string
  /** Shows a new job. */
  readonly present: (job: Job) => Promise<void>
}

/** Who did something, and how to tell them alone. */
interface Member {
  readonly context: Context
  readonly tell: (message: Message) => Promise<void>
}

const SHOW = /^show\s+([0-9a-f]{16})$/iu

export function listen(app: App, { rooms, clients, team, present }: Surroundings): void {
  const { commands, queue, log } = rooms

  // Whoever gives the command another name in the app's settings need not repeat it here.
  app.command(/^\//, async ({ command, context, ack, respond }) => {
    const text = unescapeText(command.text ?? '').trim()
    const member = memberOf(
      context.teamId,
      command.channel_id,
      command.user_id,
      command.user_name ?? command.user_id,
      respond,
    )
    const shown = SHOW.exec(text)
    if (text === '') {
      await ack()
      await tellMistakes(openModal(command.trigger_id), member)
    } else if (text === 'help') {
      await ack({ response_type: 'ephemeral', ...helpMessage(command.command, commands.options) })
    } else if (shown) {
      await ack()
      await show(shown[1]!.toLowerCase(), member)
    } else {
      const values = understood(text)
      if (values instanceof UserError) return ack({ response_type: 'ephemeral', ...sentence(values.message) })
      await ack()
      await draw(commands.imagine(values, member.context), member)
    }
  })

  app.shortcut(CALLBACK_ID, async ({ shortcut, ack }) => {
    await ack()
    await openModal(shortcut.trigger_id)
  })

  app.view(CALLBACK_ID, async ({ view, body, context, ack, respond }) => {
    const read = readSubmission(view.state.values, commands)
    if ('mistakes' in read) return ack({ response_action: 'errors', errors: read.mistakes })
    await ack()
    const { values, channel } = read.submission
    const member = memberOf(context.teamId, channel, body.user.id, body.user.name, respond)
    await draw(commands.imagine(values, member.context), member)
  })

  app.action({ type: 'block_actions' }, async ({ body, action, context, ack, respond }) => {
    await ack()
    const channel = body.channel?.id
    const asked = parseActionId('action_id' in action ? action.action_id : '')
    if (!asked || !channel || body.type !== 'block_actions') return
    const { id, username, name } = body.user
    const member = memberOf(context.teamId, channel, id, username ?? name ?? id, respond)
    const acting = commands.act(asked, member.context)
    // Cancel and delete change a message that stands already.
    if (asked.action === 'cancel' || asked.action === 'delete') await tellMistakes(acting, member)
    else await draw(acting, member)
  })

  function understood(text: string): OptionValues | UserError {
    try {
      const values = commands.parse(text)
      commands.check(values)
      return values
    } catch (error) {
      if (error instanceof UserError) return error
      throw error
    }
  }

  function memberOf(
    teamId: string | undefined,
    channel: string,
    user: string,
    name: string,
    respond: RespondFn | undefined,
  ): Member {
    const place = placeOf(teamId ?? team(), channel, user)
    return { context: { author: { id: user, name }, place }, tell: (message) => tell(message, channel, user, respond) }
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

  async function tellMistakes(acting: Promise<unknown>, { tell }: Member): Promise<void> {
    try {
      await acting
    } catch (error) {
      await tell(sentence(error instanceof PlaceGoneError ? error.message : sentenceOf(error, log)))
    }
  }

  async function draw(making: Promise<Job>, member: Member): Promise<void> {
    await tellMistakes(
      making.then((job) => present(job)),
      member,
    )
  }

  /** For the asker alone: a second lasting copy of a message would not stay true. */
  async function show(id: string, member: Member): Promise<void> {
    await tellMistakes(
      commands.show(id, member.context).then((job) => {
        const { message } = job.place
        const view = viewOf(job, queue.progress(id))
        const { text, blocks } = messageOf(view, job.pictures.length > 0 && message ? parseMessage(message).files : [])
        const command = view.command === undefined ? [] : sentenceWithCode('To draw it again:', view.command).blocks
        return member.tell({ text, blocks: [...blocks, ...command] })
      }),
      member,
    )
  }

  async function openModal(trigger_id: string): Promise<void> {
    await clients.web.views.open({ trigger_id, view: imagineModal(commands.options) })
  }
}
