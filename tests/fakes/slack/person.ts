/** Somebody who uses Slack: types, clicks, fills in forms, and reads what only they are shown. */

import type { Delivery, Event } from './delivery.ts'
import { type InputBlock, type Modal, reply, viewErrors } from './rules.ts'
import type { OpenModal, WebApi } from './web-api.ts'
import type { Channel, Message, User, Workspace } from './workspace.ts'

export interface Slack {
  readonly workspace: Workspace
  readonly api: WebApi
  readonly delivery: Delivery
  /** The commands and shortcuts that the app's manifest declares. */
  readonly commands: readonly string[]
  readonly shortcuts: readonly string[]
}

export class Person {
  readonly user: User
  /** With the bot. */
  readonly direct: Channel
  readonly #slack: Slack
  readonly #home: Channel
  #heard = 0
  #modalsSeen = 0

  constructor(slack: Slack, user: User, home: Channel) {
    this.#slack = slack
    this.user = user
    this.#home = home
    this.direct = slack.workspace.addChannel('directmessage', 'direct', true)
    slack.workspace.directs.set(user.id, this.direct)
  }

  /** Types a command; resolves when Slack has its acknowledgement. */
  async types(line: string, channel = this.#home): Promise<void> {
    await this.#slack.delivery.deliver(this.command(line, channel)).then((ack) => this.#answered(ack, channel))
  }

  /** The same event once more, as Slack does when it saw no acknowledgement. */
  async typesAgain(): Promise<void> {
    this.#answered(await this.#slack.delivery.redeliver(), this.#home)
  }

  /** The event that a typed command is. */
  command(line: string, channel = this.#home): Event {
    const [, command, text] = /^(\/\S+)\s?([\s\S]*)$/.exec(line)!
    if (!this.#slack.commands.includes(command!)) throw new Error(`${command} is not a valid command.`)
    const { workspace } = this.#slack
    const payload = {
      token: 'deprecated',
      team_id: workspace.team.id,
      team_domain: workspace.team.domain,
      channel_id: channel.id,
      channel_name: channel.name,
      user_id: this.user.id,
      user_name: this.user.name,
      command,
      // Slack escapes its control characters.
      text: text!.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
      api_app_id: workspace.bot.appId,
      is_enterprise_install: 'false',
      response_url: this.#responseUrl(channel),
      trigger_id: this.#trigger(channel),
    }
    return { type: 'slash_commands', payload }
  }

  /** Clicks a button by its label. */
  async clicks(message: Message, label: string): Promise<void> {
    await this.#slack.delivery.deliver(this.click(message, label))
  }

  /** The event that a click is. */
  click(message: Message, label: string): Event {
    const { workspace } = this.#slack
    const { channel, ts, content } = message
    const isEphemeral = message.onlyFor !== undefined
    const payload = {
      type: 'block_actions',
      ...this.#who(),
      container: { type: 'message', message_ts: ts, channel_id: channel.id, is_ephemeral: isEphemeral },
      trigger_id: this.#trigger(channel),
      channel: { id: channel.id, name: channel.name },
      ...(!isEphemeral && { message: { type: 'message', ts, user: workspace.bot.userId, ...content } }),
      state: { values: {} },
      response_url: this.#responseUrl(channel, message),
      actions: [{ type: 'button', block_id: 'b', action_ts: ts, ...message.button(label) }],
    }
    return { type: 'interactive', payload }
  }

  /** Picks the app's global shortcut while reading `channel`. */
  async opensShortcut(channel = this.#home): Promise<Form> {
    await this.#slack.delivery.deliver(this.shortcut(channel))
    return this.seesForm()
  }

  /** The event that the shortcut is. */
  shortcut(channel = this.#home): Event {
    const [callback_id] = this.#slack.shortcuts
    const payload = {
      type: 'shortcut',
      callback_id,
      ...this.#who(),
      trigger_id: this.#trigger(channel),
      action_ts: '1',
    }
    return { type: 'interactive', payload }
  }

  /** The next form that opens for this person. */
  async seesForm(): Promise<Form> {
    const { workspace, api } = this.#slack
    const mine = () => api.modals.filter(({ trigger }) => trigger.user === this.user.id)
    const modal = await workspace.until(
      () => mine()[this.#modalsSeen],
      () => `a form for ${this.user.name}`,
    )
    this.#modalsSeen++
    return new Form(modal, (values, channel) => this.#submit(modal.view, values, channel))
  }

  /** The next thing that only this person is shown. */
  async hears(): Promise<Message> {
    const { workspace } = this.#slack
    const mine = () => workspace.messages.filter(({ onlyFor }) => onlyFor === this.user.id)
    const message = await workspace.until(
      () => mine()[this.#heard],
      () => `a word to ${this.user.name}`,
    )
    this.#heard++
    return message
  }

  async #submit(view: Modal, values: object, channel: Channel | undefined): Promise<Record<string, string>> {
    const { workspace, api, delivery } = this.#slack
    const asksWhere = view.blocks.find(({ element }) => element.type === 'conversations_select')
    const urls =
      channel && asksWhere?.element.type === 'conversations_select' && asksWhere.element.response_url_enabled
        ? [{ channel_id: channel.id, response_url: this.#responseUrl(channel) }]
        : []
    const payload = {
      type: 'view_submission',
      ...this.#who(),
      trigger_id: this.#trigger(channel ?? this.#home),
      view: { id: 'V1', team_id: workspace.team.id, ...view, state: { values } },
      response_urls: urls,
    }
    const ack = (await delivery.deliver({ type: 'interactive', payload })) as object
    if (Object.keys(ack).length === 0) return {}
    const { errors } = viewErrors.parse(ack)
    for (const block of Object.keys(errors)) {
      if (!view.blocks.some(({ block_id }) => block_id === block)) api.violations.push(`no input is called ${block}`)
    }
    return errors
  }

  #answered(ack: unknown, channel: Channel): void {
    if (Object.keys(ack as object).length === 0) return
    const { workspace } = this.#slack
    const { text, blocks } = reply.parse(ack)
    workspace.addMessage(channel, { text, blocks, parse: 'none', link_names: false }, this.user.id)
  }

  #who(): object {
    const { team, bot } = this.#slack.workspace
    const { id, name, teamId } = this.user
    return {
      team,
      user: { id, name, username: name, team_id: teamId },
      api_app_id: bot.appId,
      token: 'deprecated',
      is_enterprise_install: false,
      enterprise: null,
    }
  }

  #trigger(channel: Channel): string {
    const id = `trigger.${this.#slack.workspace.next()}`
    this.#slack.api.triggers.set(id, { user: this.user.id, channel, isUsed: false })
    return id
  }

  #responseUrl(channel: Channel, clicked?: Message): string {
    const { api, workspace } = this.#slack
    const id = String(workspace.next())
    api.responseUrls.set(id, { user: this.user.id, channel, left: 5, ...(clicked && { clicked }) })
    return `${api.origin}/response/${id}`
  }
}

/** What a person fills in: text by input, or a channel. */
export type Filled = Record<string, string | Channel>

export class Form {
  readonly view: Modal
  readonly #modal: OpenModal
  readonly #submit: (values: object, channel: Channel | undefined) => Promise<Record<string, string>>

  constructor(
    modal: OpenModal,
    submit: (values: object, channel: Channel | undefined) => Promise<Record<string, string>>,
  ) {
    this.#modal = modal
    this.view = modal.view
    this.#submit = submit
  }

  /** Submits the form; gives the sentence under each input that the app did not take. */
  async submits(filled: Filled): Promise<Record<string, string>> {
    for (const name of Object.keys(filled)) {
      if (!this.view.blocks.some(({ block_id }) => block_id === name)) throw new Error(`there is no input ${name}`)
    }
    let channel: Channel | undefined
    const values = this.view.blocks.map((block) => {
      const value = this.#valueOf(block, filled[block.block_id!])
      if (typeof value === 'object') channel = value
      return [block.block_id!, { [block.element.action_id]: stateOf(block, value) }]
    })
    return this.#submit(Object.fromEntries(values), channel)
  }

  /** What Slack's own client checks. */
  #valueOf(
    { block_id, element, optional }: InputBlock,
    filled: string | Channel | undefined,
  ): string | Channel | undefined {
    if (element.type === 'conversations_select') {
      return (filled as Channel) ?? (element.default_to_current_conversation ? this.#modal.trigger.channel : undefined)
    }
    const value = filled as string | undefined
    if (!value && !optional) throw new Error(`Slack asks to fill in ${block_id}`)
    if (value && element.type === 'plain_text_input' && value.length > (element.max_length ?? 3000)) {
      throw new Error(`${block_id} takes ${element.max_length} characters`)
    }
    const chosen = element.type === 'static_select' || element.type === 'checkboxes'
    if (value && chosen && !element.options.some((option) => option.value === value)) {
      throw new Error(`${block_id} does not offer ${value}`)
    }
    return value
  }
}

function stateOf({ element: { type } }: InputBlock, value: string | Channel | undefined): object {
  if (type === 'plain_text_input') return { type, value: value ?? null }
  if (type === 'static_select') return { type, selected_option: value === undefined ? null : { value } }
  if (type === 'checkboxes') return { type, selected_options: value === undefined ? [] : [{ value }] }
  return { type, selected_conversation: (value as Channel | undefined)?.id ?? null }
}
