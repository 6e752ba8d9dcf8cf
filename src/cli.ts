#!/usr/bin/env node
/** The command line: the first word is the command, and only that command's code is loaded. */

import { VERSION } from './version.ts'

/** A command gives its exit code: 0 done, 1 it failed, 2 it was called wrongly, 130 and 143 a signal. */
interface Command {
  readonly description: string
  run(args: string[]): Promise<number>
}

const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    description: 'Serve the playground, and Discord and Slack where their tokens are set',
    run: async (args) => (await import('./cli/start.ts')).start(args),
  },
  imagine: {
    description: 'Draw pictures into a folder',
    run: async (args) => (await import('./cli/imagine.ts')).imagine(args),
  },
  models: {
    description: 'List models, say what a file is, fetch models from the hub',
    run: async (args) => (await import('./cli/models.ts')).models(args),
  },
}

const HELP = `Seedling ${VERSION}: a Stable Diffusion bot that makes its own pictures.

Usage: seedling COMMAND

${Object.entries(COMMANDS)
  .map(([name, { description }]) => `  ${name.padEnd(10)}${description}`)
  .join('\n')}

Each command explains itself with --help.`

async function run([name, ...args]: string[]): Promise<number> {
  if (name === '--version' || name === '-v') return say(VERSION)
  if (name === '--help' || name === '-h' || name === 'help') return say(HELP)
  if (name !== undefined && Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!.run(args)
  console.error(
    name === undefined ? HELP : `There is no command “${name}”; ${await nearestTo(name)}see seedling --help.`,
  )
  return 2
}

async function nearestTo(name: string): Promise<string> {
  const near = (await import('./nearest.ts')).nearest(name, Object.keys(COMMANDS))
  return near ? `did you mean ${near}? Otherwise ` : ''
}

function say(text: string): number {
  console.log(text)
  return 0
}

process.exitCode = await run(process.argv.slice(2))
