import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { viewOf } from '../../src/bot/view.ts'
import { parseActionId } from '../../src/commands/actions.ts'
import { parseInline } from '../../src/commands/inline.ts'
import { imagineOptions } from '../../src/commands/options.ts'
import { parseRequest } from '../../src/commands/request.ts'
import type { Job } from '../../src/job/job.ts'
import { noiseOf } from '../../src/job/request.ts'
import { model } from '../fakes/engine.ts'

const options = imagineOptions(model, 128)

const job: Job = {
  id: '0123456789abcdef',
  state: 'queued',
  action: 'imagine',
  request: parseRequest({ prompt: 'two apples', seed: 7, count: 2 }, model, 128),
  author: { id: '1', name: 'Alice' },
  place: { platform: 'playground', guild: 'g', channel: 'c' },
  createdAt: 0,
  attempts: 0,
  pictures: [],
}
const pictures = [0, 1].map((index) => ({
  ...noiseOf(job.request, index),
  index,
  width: 64,
  height: 64,
  bytes: 1,
  nsfw: false,
}))
const done: Job = { ...job, state: 'done', startedAt: 1000, finishedAt: 3500, pictures }

describe('viewOf', () => {
  it('says where a waiting job stands and offers to cancel it', () => {
    const view = viewOf(job, { position: 3, etaSeconds: 20.4 })
    expect(view.status).toBe('Queued · 3rd in line · about 20 s')
    expect(view.fraction).toBe(0)
    expect(view.actions.map(({ label }) => label)).toEqual(['Cancel'])
    expect(viewOf(job, { position: 1 }).status).toBe('Queued · next in line')
    expect(viewOf(job, { position: 12 }).status).toBe('Queued · 12th in line')
  })

  it('shows how much is drawn', () => {
    const preview = new Uint8Array([1])
    const view = viewOf({ ...job, state: 'running', startedAt: 1 }, { step: 5, steps: 40, etaSeconds: 2, preview })
    expect(view).toMatchObject({ status: 'Drawing · 12 % · about 2.0 s', fraction: 0.125, preview })
  })

  it('says which model is being opened for it', () => {
    const view = viewOf(
      { ...job, state: 'running', startedAt: 1 },
      { opening: 'dream 8', step: 0, steps: 0, etaSeconds: 30 },
    )
    expect(view.status).toBe('Opening dream 8… · about 30 s')
  })

  it('offers every button under a result, each of which reads back', () => {
    const view = viewOf(done, {})
    expect(view.status).toBe('Imagine · 2.5 s')
    expect(view.actions.map(({ label }) => label)).toEqual(['🔄', 'V1', 'V2', 'U1', 'U2', '🗑'])
    expect(view.actions.map(({ id }) => parseActionId(id))).not.toContain(undefined)
    expect(view.pictures.map(({ alt }) => alt)).toEqual(['two apples (picture 1 of 2)', 'two apples (picture 2 of 2)'])
    expect(view.parameters).toContainEqual({ name: 'seed', value: '7' })
  })

  it('names the whole chain of a variation of a variation, which no command repeats', () => {
    const variations = [
      { seed: 8, strength: 0.25 },
      { seed: 9, strength: 0.5 },
    ]
    const view = viewOf({ ...done, request: { ...done.request, variations } }, {})
    expect(view.parameters).toContainEqual({ name: 'seed', value: '7 → 8 (0.25) → 9 (0.5)' })
    expect(view.command).toBeUndefined()
  })

  it('gives a command that makes the same pictures again, whatever was asked for', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
      .filter((typed) => !/["“”]|--|—/u.test(typed))
    fc.assert(
      fc.property(
        text,
        text,
        fc.nat(2 ** 32 - 1),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
        (prompt, negative, seed, count, transparent, clipSkip) => {
          fc.pre(prompt.trim() !== '')
          const values = { prompt, negative, seed, count, transparent, aspect: '3:2' }
          const request = parseRequest({ ...values, ...(clipSkip && { 'clip-skip': clipSkip }) }, model, 128)
          const { command } = viewOf({ ...done, request }, {})
          expect(parseRequest(parseInline(command!.slice('/imagine '.length), options), model, 128)).toEqual(request)
        },
      ),
    )
  })
})
