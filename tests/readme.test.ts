/** The README says what the program does: its tables are the program's own. */

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { imagineOptions } from '../src/commands/options.ts'
import { settings } from '../src/config.ts'
import { model } from './fakes/engine.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

it('lists every setting with its default and meaning', () => {
  const rows = Object.entries(settings.shape).map(([name, type]) => {
    const fallback = type.safeParse(undefined).data
    return `| \`${name}\` | ${fallback === undefined ? '' : `\`${fallback}\``} | ${type.description} |`
  })
  expect(readme).toContain(rows.join('\n'))
})

it('lists every option of /imagine with its flags', () => {
  for (const { name, aliases = [] } of imagineOptions(model, 128)) {
    const flags = name === 'prompt' ? '' : [name, ...aliases].map((flag) => `\`--${flag}\``).join(', ')
    expect(readme).toContain(`| \`${name}\` | ${flags}`)
  }
})
