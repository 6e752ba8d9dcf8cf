/** `seedling start`: the whole program, until it is told to end. */

import { settings } from '../config.ts'
import { nearest } from '../nearest.ts'

/** Runs the command; gives its exit code. */
export async function start(args: readonly string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    console.log(helpText())
    return 0
  }
  const [word] = args
  if (word !== undefined) {
    console.error(`seedling start: ${mistake(word)}\nSee seedling start --help.`)
    return 2
  }
  return (await import('../main.ts')).main()
}

function mistake(word: string): string {
  const name = word
    .replace(/^-+|=.*$/gsu, '')
    .replaceAll('-', '_')
    .toUpperCase()
  const setting = nearest(name, Object.keys(settings.shape)) ?? nearest(`SEEDLING_${name}`, Object.keys(settings.shape))
  return `“${word.slice(0, 40)}” is nothing that it takes; ${setting ? `set ${setting}` : 'set what you want'} in the environment or in .env.`
}

function helpText(): string {
  const lines = Object.entries(settings.shape).map(([name, type]) => {
    const usual = type.safeParse(undefined).data
    return `  ${name.padEnd(28)}${type.description}${usual === undefined ? '' : ` (default: ${usual})`}`
  })
  return `Usage: seedling start

Serves the playground, and Discord and Slack where their tokens are set, until Ctrl+C. It takes no options: settings come
from the environment, or from a file .env where it is started. Nothing is required.

${lines.join('\n')}

PORT=8080 SEEDLING_DATA=/var/lib/seedling seedling start`
}
