/** What `seedling start` says of its settings before anything else happens. */

import { describe, expect, it } from 'vitest'
import { startProgram } from './program.ts'

describe('seedling start', { timeout: 90_000 }, () => {
  it('names what it does not read, and the nearest that it does, and goes on', async () => {
    const program = await startProgram({ DISCORD_TOKN: 'hunter2', SEEDLING_MODLE: 'x' })
    await program.address()
    expect(program.lines.slice(0, 2)).toEqual([
      'DISCORD_TOKN is no setting, so nothing reads it; did you mean DISCORD_TOKEN?',
      'SEEDLING_MODLE is no setting, so nothing reads it; did you mean SEEDLING_MODEL?',
    ])
    expect(program.output).not.toContain('hunter2')
  })

  it('refuses a Discord token of impossible form at once', async () => {
    const program = await startProgram({ DISCORD_TOKEN: 'hunter2' })
    expect(await program.exit()).toBe(1)
    expect(program.lines).toEqual([
      expect.stringMatching(/^Seedling cannot start: .*DISCORD_TOKEN: must be three parts/),
    ])
  })
})
