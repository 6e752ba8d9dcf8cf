/** The form of `/imagine`: a modal derived from the table of options, and what comes back from it. */

import type { SlackViewAction, types } from '@slack/bolt'
import type { Commands } from '../../commands/commands.ts'
import type { Option, OptionValues } from '../../commands/options.ts'
import { UserError } from '../../job/errors.ts'
import { plainText, shorten } from './blocks.ts'

/** The modal's callback id, and the global shortcut's. */
export const CALLBACK_ID = 'imagine'

const CHANNEL = 'channel'
const VALUE = 'value'
/** Whole numbers from so small a range are chosen, not typed. */
const MAX_CHOICES = 10
/** Slack's own bounds of a select. https://docs.slack.dev/reference/block-kit/composition-objects/option-object */
const SELECT = { options: 100, text: 75, value: 150 }
const MAX_PLACEHOLDER = 150
/** Examples under an input; people with many models know what they look for. */
const MAX_EXAMPLES = 8
const MAX_HINT = 500

export interface Submission {
  /** As typed: inline flags in the prompt count too, a filled input wins. */
  readonly values: OptionValues
  readonly channel: string
}

/** A sentence under each input that is wrong; the keys are block ids. */
export type Mistakes = Record<string, string>

type State = SlackViewAction['view']['state']['values']

export function imagineModal(options: readonly Option[]): types.ModalView {
  return {
    type: 'modal',
    callback_id: CALLBACK_ID,
    title: plainText('Imagine'),
    submit: plainText('Draw'),
    close: plainText('Cancel'),
    blocks: [...options.map(inputOf), channelInput],
  }
}

/** Reads a submitted modal; everything that is wrong with it is reported at once. */
export function readSubmission(
  state: State,
  commands: Pick<Commands, 'options' | 'parse' | 'check'>,
): { submission: Submission } | { mistakes: Mistakes } {
  const typed = typedValues(state, commands.options)
  const mistakes: Mistakes = {}
  const check = (block: string, values: () => OptionValues) => {
    try {
      commands.check(values())
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      mistakes[block] = error.message
    }
  }
  check('prompt', () => commands.parse(String(typed.prompt ?? '')))
  for (const [name, value] of Object.entries(typed)) {
    // Alone, so that its sentence lands at its own input.
    if (name !== 'prompt') check(name, () => ({ prompt: 'checked already', [name]: value }))
  }
  const channel = state[CHANNEL]?.[VALUE]?.selected_conversation
  if (!channel) mistakes[CHANNEL] = 'Choose where the pictures go.'
  if (!channel || Object.keys(mistakes).length > 0) return { mistakes }
  const { prompt, ...filled } = typed
  return { submission: { values: { ...commands.parse(String(prompt)), ...filled }, channel } }
}

function typedValues(state: State, options: readonly Option[]): OptionValues {
  const values: OptionValues = {}
  for (const { name } of options) {
    const input = state[name]?.[VALUE]
    const value = input?.value ?? input?.selected_option?.value ?? input?.selected_options?.[0]?.value
    if (value?.trim()) values[name] = value
  }
  return values
}

function inputOf(option: Option): types.InputBlock {
  return {
    type: 'input',
    block_id: option.name,
    label: plainText(labelOf(option)),
    hint: plainText(hintOf(option)),
    optional: !option.required,
    element: elementOf(option),
  }
}

function labelOf({ name }: Option): string {
  return name[0]!.toUpperCase() + name.slice(1).replace('-', ' ')
}

function hintOf(option: Option): string {
  const { description, suggestions, min, max } = option
  const range = min === undefined || max === undefined ? [] : [`from ${min} to ${max}`]
  const examples =
    suggestions?.length && !choicesOf(option) ? [`such as ${suggestions.slice(0, MAX_EXAMPLES).join(', ')}`] : []
  return shorten([description, ...range, ...examples].join('; '), MAX_HINT)
}

/** What is chosen, not typed; undefined where it is typed, as where a select cannot hold all that there is. */
function choicesOf({ type, min, max, suggestions = [], isStrict }: Option): readonly string[] | undefined {
  if (type === 'integer' && max! - min! < MAX_CHOICES) {
    return Array.from({ length: max! - min! + 1 }, (_, index) => String(min! + index))
  }
  const fits = suggestions.length <= SELECT.options && suggestions.every(({ length }) => length <= SELECT.value)
  return isStrict && fits ? suggestions : undefined
}

function elementOf(option: Option): types.PlainTextInput | types.StaticSelect | types.Checkboxes {
  const { name, type, maxLength, default: initial } = option
  if (type === 'boolean') {
    return { type: 'checkboxes', action_id: VALUE, options: [{ text: plainText('Yes'), value: 'true' }] }
  }
  const placeholder = initial === undefined ? {} : { placeholder: plainText(cut(initial, MAX_PLACEHOLDER)) }
  const choices = choicesOf(option)
  if (choices) {
    const options = choices.map((choice) => ({ text: plainText(cut(choice, SELECT.text)), value: choice }))
    return { type: 'static_select', action_id: VALUE, options, ...placeholder }
  }
  return {
    type: 'plain_text_input',
    action_id: VALUE,
    ...(name === 'prompt' && { multiline: true, focus_on_load: true }),
    ...(maxLength !== undefined && { max_length: maxLength }),
    ...placeholder,
  }
}

/** Names differ at their ends, where versions stand, so the middle is left out. */
function cut(text: string, max: number): string {
  if (text.length <= max) return text
  const half = Math.floor((max - 1) / 2)
  return `${text.slice(0, half)}…${text.slice(-half)}`.toWellFormed()
}

/** A global shortcut knows no channel, so the form asks; Slack fills in the one that is open. */
const channelInput: types.InputBlock = {
  type: 'input',
  block_id: CHANNEL,
  label: plainText('Where'),
  element: {
    type: 'conversations_select',
    action_id: VALUE,
    default_to_current_conversation: true,
    response_url_enabled: true,
  },
}
