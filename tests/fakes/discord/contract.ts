/** What Discord demands of a request: its official schemas, the limits that they miss, and what Seedling promises on top. */

import * as spec from 'discord-api-spec/zod'
import type { ZodMiniObject } from 'zod/mini'

export interface UploadedFile {
  readonly name: string
  readonly type: string
  readonly data: Buffer
}

/** A request's JSON, unchecked. */
// biome-ignore lint/suspicious/noExplicitAny: a stranger's JSON
export type Body = any

/** Which of Discord's forms a message takes; they allow different flags and fields. */
export type MessageForm = 'create' | 'edit' | 'webhook create' | 'webhook edit'

const FORMS: Record<MessageForm, { schema: ZodMiniObject; flags: number }> = {
  create: { schema: spec.MessageCreateRequestSchema, flags: 4 | 4096 },
  edit: { schema: spec.MessageEditRequestPartialSchema, flags: 4 },
  'webhook create': { schema: spec.IncomingWebhookInteractionRequestSchema, flags: 4 | 64 | 4096 },
  'webhook edit': { schema: spec.IncomingWebhookUpdateForInteractionCallbackRequestPartialSchema, flags: 4 },
}

/** Everything that is wrong with a message; empty for a good one. */
export function messageProblems(form: MessageForm, body: Body, files: readonly UploadedFile[]): string[] {
  const { schema, flags } = FORMS[form]
  return [
    ...schemaProblems(schema, body),
    ...textProblems(body),
    ...componentProblems(body.components ?? []),
    ...attachmentProblems(form, body, files),
    ...((body.flags ?? 0) & ~flags ? [`flags ${body.flags} are not allowed in a ${form}`] : []),
    ...(JSON.stringify(body.allowed_mentions) === '{"parse":[]}' ? [] : ['allowed_mentions may notify somebody']),
  ]
}

export function callbackProblems(body: Body, files: readonly UploadedFile[]): string[] {
  switch (body?.type) {
    case 4:
      return [
        ...schemaProblems(spec.CreateMessageInteractionCallbackRequestSchema, body),
        ...messageProblems('webhook create', body.data ?? {}, files),
      ]
    case 5:
      return schemaProblems(spec.CreateMessageInteractionCallbackRequestSchema, body)
    case 6:
      return schemaProblems(spec.UpdateMessageInteractionCallbackRequestSchema, body)
    case 8:
      return schemaProblems(spec.ApplicationCommandAutocompleteCallbackRequestSchema, body)
    default:
      return [`type ${body?.type} is no answer that is expected here`]
  }
}

/** https://discord.com/developers/docs/interactions/application-commands */
export function commandProblems(commands: Body): string[] {
  if (!Array.isArray(commands)) return ['commands are no list']
  return commands.flatMap((command: Body) => {
    const options: Body[] = command.options ?? []
    const texts = [command, ...options].flatMap(({ name, description }) => [name, description])
    const optional = options.findIndex(({ required }) => !required)
    return [
      ...schemaProblems(spec.ApplicationCommandUpdateRequestSchema, command),
      ...[command, ...options]
        .filter(({ name }) => !/^[-_'\p{Ll}\p{N}]{1,32}$/u.test(name))
        .map(({ name }) => `${name}: a bad name`),
      ...[command, ...options]
        .filter(({ description }) => !description?.length)
        .map(({ name }) => `${name}: no description`),
      ...(optional >= 0 && options.slice(optional).some(({ required }) => required)
        ? [`${command.name}: required options come first`]
        : []),
      ...options.filter(({ autocomplete, choices }) => autocomplete && choices).map(({ name }) => `${name}: choices`),
      ...(new Set(options.map(({ name }) => name)).size < options.length
        ? [`${command.name}: twice the same name`]
        : []),
      ...(texts.join('').length > 8000 ? [`${command.name}: longer than 8,000 characters`] : []),
    ].map((problem) => `/${command.name}: ${problem}`)
  })
}

function schemaProblems(schema: ZodMiniObject, body: Body): string[] {
  const { success, error } = schema.safeParse(body)
  const unknown = Object.keys(body ?? {}).filter((key) => !(key in schema.shape))
  return [
    ...(success ? [] : error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)),
    ...unknown.map((key) => `${key}: unknown field`),
  ]
}

function textProblems({ content, embeds = [] }: Body): string[] {
  const embedded = (embeds ?? []).flatMap(({ title, description, footer, author, fields = [] }: Body) => [
    title,
    description,
    footer?.text,
    author?.name,
    ...fields.flatMap((field: Body) => [field.name, field.value]),
  ])
  return [
    ...((content?.length ?? 0) > 2000 ? [`content has ${content.length} characters`] : []),
    ...(embedded.join('').length > 6000 ? ['embeds have more than 6,000 characters'] : []),
  ]
}

function componentProblems(rows: Body[]): string[] {
  const components: Body[] = rows.flatMap(({ components }) => components ?? [])
  const ids = components.map(({ custom_id }) => custom_id)
  return [
    ...(rows.length > 5 ? [`${rows.length} rows of components`] : []),
    ...(new Set(ids).size < ids.length ? ['twice the same custom_id'] : []),
    ...components
      .filter(({ style, label, emoji, custom_id }) => style === 5 || !(label || emoji) || !custom_id)
      .map((component) => `${JSON.stringify(component)}: a button needs a label and a custom_id`),
  ]
}

function attachmentProblems(form: MessageForm, { attachments }: Body, files: readonly UploadedFile[]): string[] {
  const isEdit = form.endsWith('edit')
  if (isEdit && attachments === undefined) return ['an edit must list the attachments that stay']
  const listed: Body[] = attachments ?? []
  return [
    ...files
      .filter((file, index) => !listed.some(({ id, filename }) => id === String(index) && filename === file.name))
      .map(({ name }) => `${name} is uploaded but not listed`),
    ...listed.filter(({ description }) => !description).map(({ filename }) => `${filename} has no alt text`),
    ...(isEdit ? [] : listed.filter((_, index) => !files[index]).map(({ id }) => `attachment ${id} has no file`)),
    ...(files.length > 10 ? [`${files.length} files`] : []),
  ]
}
