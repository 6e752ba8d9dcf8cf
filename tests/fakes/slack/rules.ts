/** What Slack accepts: arguments of the methods that a bot calls, and Block Kit with its documented limits. */

import { z } from 'zod'

const LIMITS = { blocks: 50, modalBlocks: 100, blocksInAll: 13_200, text: 4000 }

const plainText = (max: number) =>
  z.strictObject({ type: z.literal('plain_text'), text: z.string().min(1).max(max), emoji: z.boolean().optional() })
const mrkdwn = (max: number) =>
  z.strictObject({ type: z.literal('mrkdwn'), text: z.string().min(1).max(max), verbatim: z.boolean().optional() })
const text = (max: number) => z.union([plainText(max), mrkdwn(max)])
const id = z.string().min(1).max(255)
const block = { block_id: id.optional() }
const placeholder = plainText(150).optional()
const option = z.strictObject({ text: plainText(75), value: z.string().min(1).max(150) })

const button = z.strictObject({
  type: z.literal('button'),
  action_id: id,
  text: plainText(75),
  value: z.string().max(2000).optional(),
  style: z.enum(['primary', 'danger']).optional(),
  accessibility_label: z.string().max(75).optional(),
})

const staticSelect = z.strictObject({
  type: z.literal('static_select'),
  action_id: id,
  options: z.array(option).min(1).max(100),
  initial_option: option.optional(),
  placeholder,
})

const checkboxes = z.strictObject({
  type: z.literal('checkboxes'),
  action_id: id,
  options: z.array(option).min(1).max(10),
  initial_options: z.array(option).min(1).optional(),
})

const conversationsSelect = z.strictObject({
  type: z.literal('conversations_select'),
  action_id: id,
  default_to_current_conversation: z.boolean().optional(),
  response_url_enabled: z.boolean().optional(),
  placeholder,
})

const plainTextInput = z.strictObject({
  type: z.literal('plain_text_input'),
  action_id: id,
  initial_value: z.string().max(3000).optional(),
  multiline: z.boolean().optional(),
  min_length: z.number().int().min(0).max(3000).optional(),
  max_length: z.number().int().min(1).max(3000).optional(),
  focus_on_load: z.boolean().optional(),
  placeholder,
})

const style = z.strictObject({
  bold: z.boolean().optional(),
  italic: z.boolean().optional(),
  strike: z.boolean().optional(),
  code: z.boolean().optional(),
})
const richTextElement = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string().min(1), style: style.optional() }),
  z.strictObject({ type: z.literal('link'), url: z.string(), text: z.string().optional(), style: style.optional() }),
  z.strictObject({ type: z.literal('user'), user_id: z.string(), style: style.optional() }),
  z.strictObject({ type: z.literal('broadcast'), range: z.enum(['here', 'channel', 'everyone']) }),
])
const richTextBlock = z.strictObject({
  ...block,
  type: z.literal('rich_text'),
  elements: z
    .array(
      z.strictObject({
        type: z.enum(['rich_text_section', 'rich_text_preformatted']),
        elements: z.array(richTextElement).min(1),
      }),
    )
    .min(1),
})

/** The file's state is checked by the workspace. */
const image = z.strictObject({
  ...block,
  type: z.literal('image'),
  slack_file: z.strictObject({ id: z.string().min(1) }),
  alt_text: z.string().min(1).max(2000),
  title: plainText(2000).optional(),
})

const messageBlock = z.discriminatedUnion('type', [
  richTextBlock,
  image,
  z.strictObject({ ...block, type: z.literal('section'), text: text(3000) }),
  z.strictObject({ ...block, type: z.literal('context'), elements: z.array(text(2000)).min(1).max(10) }),
  z.strictObject({ ...block, type: z.literal('actions'), elements: z.array(button).min(1).max(25) }),
  z.strictObject({ ...block, type: z.literal('divider') }),
])

const input = z.strictObject({
  ...block,
  type: z.literal('input'),
  label: plainText(2000),
  hint: plainText(2000).optional(),
  optional: z.boolean().optional(),
  element: z.discriminatedUnion('type', [plainTextInput, staticSelect, checkboxes, conversationsSelect]),
})

export type MessageBlock = z.infer<typeof messageBlock>
export type InputBlock = z.infer<typeof input>

const blocks = z
  .array(messageBlock)
  .max(LIMITS.blocks)
  .refine((blocks) => JSON.stringify(blocks).length <= LIMITS.blocksInAll, `over ${LIMITS.blocksInAll} characters`)
  .refine((blocks) => unique(blocks.flatMap(({ block_id }) => block_id ?? [])), 'a block_id stands twice')
  .refine((blocks) => unique(blocks.flatMap(actionIds)), 'an action_id stands twice')

const modal = z.strictObject({
  type: z.literal('modal'),
  callback_id: id,
  title: plainText(24),
  submit: plainText(24),
  close: plainText(24).optional(),
  private_metadata: z.string().max(3000).optional(),
  blocks: z
    .array(input)
    .min(1)
    .max(LIMITS.modalBlocks)
    .refine((blocks) => unique(blocks.flatMap(({ block_id }) => block_id ?? [])), 'a block_id stands twice'),
})

export type Modal = z.infer<typeof modal>

/** A form's fields are text; objects in them are JSON. */
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text) => JSON.parse(text) as unknown)
    .pipe(schema)
const flag = z.enum(['true', 'false']).transform((text) => text === 'true')
const whole = z.string().regex(/^\d+$/).transform(Number)
const ts = z.string().regex(/^\d{10}\.\d{6}$/)

const content = { text: z.string().min(1).max(LIMITS.text), blocks: json(blocks) }
/** https://docs.slack.dev/messaging/message-metadata */
const metadata = json(
  z.strictObject({ event_type: z.string().min(1), event_payload: z.record(z.string(), z.unknown()) }),
).optional()
const reading = { parse: z.enum(['none', 'full']).default('none'), link_names: flag.default(false) }

/** The methods with their arguments, and the scope that each needs. */
export const methods = {
  'auth.test': { scope: undefined, args: z.strictObject({}) },
  'apps.connections.open': { scope: 'connections:write', args: z.strictObject({}) },
  'chat.postMessage': {
    scope: 'chat:write',
    args: z.strictObject({
      channel: z.string(),
      ...content,
      ...reading,
      metadata,
      mrkdwn: flag.default(true),
      unfurl_links: flag.default(false),
      unfurl_media: flag.default(true),
    }),
  },
  'chat.update': {
    scope: 'chat:write',
    args: z.strictObject({ channel: z.string(), ts, ...content, ...reading, metadata }),
  },
  'chat.delete': { scope: 'chat:write', args: z.strictObject({ channel: z.string(), ts }) },
  'chat.postEphemeral': {
    scope: 'chat:write',
    args: z.strictObject({ channel: z.string(), user: z.string(), ...content, ...reading }),
  },
  // The scope depends on the kind of channel.
  'conversations.history': {
    scope: undefined,
    args: z.strictObject({
      channel: z.string(),
      oldest: z
        .string()
        .regex(/^\d+(\.\d+)?$/)
        .optional(),
      latest: z
        .string()
        .regex(/^\d+(\.\d+)?$/)
        .optional(),
      inclusive: flag.default(false),
      limit: whole.pipe(z.number().min(1).max(999)).default(100),
      cursor: z.string().optional(),
      include_all_metadata: flag.default(false),
    }),
  },
  'views.open': { scope: undefined, args: z.strictObject({ trigger_id: z.string(), view: json(modal) }) },
  'files.getUploadURLExternal': {
    scope: 'files:write',
    args: z.strictObject({ filename: z.string().min(1), length: whole, alt_text: z.string().max(1000).optional() }),
  },
  'files.completeUploadExternal': {
    scope: 'files:write',
    args: z.strictObject({
      files: json(z.array(z.strictObject({ id: z.string(), title: z.string().optional() })).min(1)),
      channel_id: z.string().optional(),
    }),
  },
  'files.info': { scope: 'files:read', args: z.strictObject({ file: z.string() }) },
  'files.delete': { scope: 'files:write', args: z.strictObject({ file: z.string() }) },
} as const

export type Method = keyof typeof methods
export type Args<M extends Method> = z.output<(typeof methods)[M]['args']>

/** What an acknowledgement or a response URL may carry for one person. */
export const reply = z.strictObject({
  response_type: z.literal('ephemeral'),
  replace_original: z.literal(false).optional(),
  text: content.text,
  blocks,
})

/** What a click's response URL may do to the message that was clicked. */
export const change = z.union([
  z.strictObject({ delete_original: z.literal(true) }),
  z.strictObject({ replace_original: z.literal(true), text: content.text, blocks }),
])

export const viewErrors = z.strictObject({
  response_action: z.literal('errors'),
  errors: z.record(z.string(), z.string().min(1)),
})

function unique(ids: string[]): boolean {
  return new Set(ids).size === ids.length
}

function actionIds(block: MessageBlock): string[] {
  return block.type === 'actions' ? block.elements.map(({ action_id }) => action_id) : []
}
