/** Who may see a job and draw from it, by one rule for every command; who may change it. */

import { describe, expect, it } from 'vitest'
import type { Action } from '../../src/commands/actions.ts'
import { Commands, type Context } from '../../src/commands/commands.ts'
import type { Job } from '../../src/job/job.ts'
import type { JobQueue } from '../../src/queue/queue.ts'
import { catalog, model } from '../fakes/engine.ts'

const ID = '0123456789abcdef'
const secret = 'a secret garden'

/** A queue that holds one job and says what became of it. */
function commandsFor(place: Job['place']) {
  const job: Job = {
    id: ID,
    state: 'done',
    action: 'imagine',
    request: {
      prompt: secret,
      negativePrompt: '',
      seed: 7,
      variations: [],
      numInferenceSteps: 20,
      guidanceScale: 4,
      width: 64,
      height: 64,
      numImagesPerPrompt: 1,
      upscale: 1,
      transparent: false,
    },
    author: { id: 'alice', name: 'Alice' },
    place,
    createdAt: 0,
    attempts: 1,
    pictures: [{ index: 0, seed: 7, variations: [], width: 64, height: 64, bytes: 1, nsfw: false }],
  }
  const queue = {
    get: async (id: string) => (id === ID ? job : undefined),
    add: async (added: Job) => added,
    cancel: async () => job,
    delete: async () => job,
  } as unknown as JobQueue
  return new Commands(queue, { model, catalog }, { variationStrength: 0.25, maxSize: 128 })
}

const home = { platform: 'discord', guild: 'guild', channel: 'channel' }
const DRAWING: readonly Action[] = ['reroll', 'vary', 'upscale']
const CHANGING: readonly Action[] = ['cancel', 'delete']

/** What the person gets of each: `ok`, or the error's code. */
async function outcomes(asker: Context, actions: readonly Action[], place = home): Promise<Record<string, string>> {
  const commands = commandsFor(place)
  const tries: [string, () => Promise<Job>][] = actions.map((action) => [
    action,
    () => commands.act({ action, index: 0, job: ID }, asker),
  ])
  const all = [['show', () => commands.show(ID, asker)] as (typeof tries)[0], ...tries]
  const results = all.map(async ([name, act]) => {
    const outcome = await act().then(
      () => 'ok',
      (error) => {
        expect(error.message).not.toContain(secret)
        return error.code as string
      },
    )
    return [name, outcome]
  })
  return Object.fromEntries(await Promise.all(results))
}

const asker = (id: string, place: Partial<Job['place']> = {}): Context => ({
  author: { id, name: id },
  place: { ...home, ...place },
})

describe('a job', () => {
  it.each([
    ['its author, wherever they are', asker('alice', { guild: 'elsewhere', channel: 'elsewhere' })],
    ['whoever is present in its guild', asker('bob', { channel: 'another' })],
    ['whoever is present in its channel, which two workspaces may share', asker('bob', { guild: 'elsewhere' })],
  ])('is shown to %s, who may draw from it', async (_, person) => {
    expect(await outcomes(person, DRAWING)).toEqual({ show: 'ok', reroll: 'ok', vary: 'ok', upscale: 'ok' })
  })

  it.each([
    ['another guild', asker('bob', { guild: 'elsewhere', channel: 'elsewhere' })],
    ['a direct message', asker('bob', { guild: 'dm:bob', channel: 'dm' })],
    ['another platform, with the same ids', asker('alice', { platform: 'slack' })],
    ['the page, with the same ids', asker('alice', { platform: 'playground' })],
  ])('is there for nobody from %s, whatever they press', async (_, person) => {
    const gone = { show: 'gone', reroll: 'gone', vary: 'gone', upscale: 'gone', cancel: 'gone', delete: 'gone' }
    expect(await outcomes(person, [...DRAWING, ...CHANGING])).toEqual(gone)
  })

  it('of a direct message is its author’s', async () => {
    const place = { platform: 'discord', guild: 'dm:alice', channel: 'dm1' }
    expect(await outcomes(asker('alice'), DRAWING, place)).toMatchObject({ show: 'ok', reroll: 'ok' })
    expect(await outcomes(asker('bob'), DRAWING, place)).toMatchObject({ show: 'gone', reroll: 'gone' })
  })

  it('is changed by its author alone', async () => {
    expect(await outcomes(asker('bob'), CHANGING)).toEqual({ show: 'ok', cancel: 'forbidden', delete: 'forbidden' })
    expect(await outcomes(asker('alice'), CHANGING)).toEqual({ show: 'ok', cancel: 'gone', delete: 'ok' })
  })
})
