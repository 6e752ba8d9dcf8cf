/** `/imagine help`: derived from the table of options. */

import type { Option } from '../../commands/options.ts'
import { type Message, sentenceWithCode } from './blocks.ts'

export function helpMessage(command: string, options: readonly Option[]): Message {
  const flags = options.filter(({ required }) => !required).map(lineOf)
  const usage = [
    `${command} a red apple --seed 7 --ar 16:9 --no leaves`,
    `${command}                 opens a form`,
    `${command} show JOB        shows a job again, to you alone`,
    `${command} queue           says what is waiting`,
    '',
    ...flags,
  ]
  return sentenceWithCode('Say what to draw; everything else is up to you:', usage.join('\n'))
}

function lineOf({ name, aliases, description, default: initial }: Option): string {
  const names = [name, ...(aliases ?? [])].map((flag) => `--${flag}`).join(', ')
  return `${names.padEnd(17)}${description}${initial === undefined ? '' : ` (${initial})`}`
}
