/** What a typed line asks for beside pictures, and the forms in which people write a job's number; the same in every chat. */

import { UserError } from '../job/errors.ts'

/** A message of the chat, by its own address. */
export interface MessageLink {
  readonly channel: string
  readonly message: string
}

export type JobName = { readonly id: string } | { readonly link: MessageLink }

export type Line =
  | { readonly word: 'form' | 'help' | 'queue' }
  | { readonly word: 'show'; readonly job: JobName }
  | { readonly word: 'draw' }

const ID = /^(?:job\s*)?#?([0-9a-f]{16})$/iu
const FILE = /^seedling-([0-9a-f]{16})(?:-\d{1,2})?(?: ?\(\d+\))?(?:\.(?:png|webp))?$/iu
const DISCORD_LINK =
  /^<?https?:\/\/(?:\w+\.)?discord(?:app)?\.com\/channels\/(?:@me|\d+)\/(\d{1,20})\/(\d{1,20})\/?>?$/iu
const SLACK_LINK = /^<?https?:\/\/[\w.-]+\/archives\/([A-Z0-9]{2,20})\/p(\d{10})(\d{6})(?:\?[^\s>]*)?(?:\|[^>]*)?>?$/u

/** Undefined for what is no job's number, file or message. */
export function parseJobName(text: string): JobName | undefined {
  const typed = text.trim().replace(/^[`"“”']+|[`"“”'.]+$/gu, '')
  const id = (ID.exec(typed) ?? FILE.exec(typed))?.[1]
  if (id) return { id: id.toLowerCase() }
  const discord = DISCORD_LINK.exec(typed)
  if (discord) return { link: { channel: discord[1]!, message: discord[2]! } }
  const slack = SLACK_LINK.exec(typed)
  if (slack) return { link: { channel: slack[1]!, message: `${slack[2]}.${slack[3]}` } }
  return undefined
}

/** @throws UserError `option` */
export function requireJobName(text: string): JobName {
  const name = parseJobName(text)
  if (name) return name
  const quoted = text.trim().slice(0, 40)
  throw new UserError(
    'option',
    `job is “${quoted}”; it must be the number under its pictures, or a link to its message.`,
  )
}

/** @throws UserError `gone` when no job stands in the message that was linked */
export function requireJobOf(id: string | undefined): string {
  if (id) return id
  throw new UserError(
    'gone',
    'No job of Seedling can be found in that message; use the number that stands under its pictures.',
  )
}

/** A line without any of these words is a prompt, also one that begins with `show`. */
export function parseLine(text: string): Line {
  const typed = text.trim()
  if (typed === '') return { word: 'form' }
  if (/^(?:-{0,2}help|\?+)[.!?]*$/iu.test(typed)) return { word: 'help' }
  if (/^queue[.!?]*$/iu.test(typed)) return { word: 'queue' }
  const shown = /^show\s+(\S[\s\S]*)$/iu.exec(typed)
  const job = shown && parseJobName(shown[1]!)
  return job ? { word: 'show', job } : { word: 'draw' }
}
