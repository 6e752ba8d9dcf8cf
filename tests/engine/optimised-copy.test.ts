import {
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { DataType } from '../../src/engine/graph/onnx-schema.ts'
import type { Rewrites, SessionSettings } from '../../src/engine/models/onnx-runtime-model.ts'
import { graphOf, node, sourceOf } from './small-graph.ts'
import { ON_CPU, temporaryFolder } from './tiny-pipeline.ts'

// As it is shipped: a process of its own makes the copies.
const built = (path: string) => fileURLToPath(new URL(`../../dist/engine/${path}.js`, import.meta.url))
const { OnnxRuntimeModel } = (await import(
  built('models/onnx-runtime-model')
)) as typeof import('../../src/engine/models/onnx-runtime-model.ts')
const { copiesMade } = (await import(
  built('models/optimised-copy')
)) as typeof import('../../src/engine/models/optimised-copy.ts')

/** Large enough for a copy to be kept; nearly all of it are zeros that take no room on the disk. */
const SIDE = 8192

function largeSource(folder = temporaryFolder()) {
  const path = join(folder, 'weights.bin')
  const file = openSync(path, 'w')
  ftruncateSync(file, 4 * SIDE * SIDE)
  writeSync(file, new Uint8Array(new Float32Array([2, 3]).buffer), 0, 8, 0)
  closeSync(file)
  const weight = {
    tensor: { name: 'w', dims: [SIDE, SIDE], dataType: DataType.FLOAT },
    place: { path, offset: 0, length: 4 * SIDE * SIDE },
  }
  const read = () => graphOf([node('MatMul', ['x', 'w'], 'y')], [weight], { x: ['rows', SIDE], y: ['rows', SIDE] })
  return { ...sourceOf(read), weights: path }
}

async function run(
  source: ReturnType<typeof largeSource>,
  settings: Partial<SessionSettings>,
  rewrites: Rewrites = {},
) {
  const model = await OnnxRuntimeModel.load(source, { ...ON_CPU, ...settings }, rewrites)
  const x = { data: new Float32Array(SIDE).fill(1, 0, 1), dims: [1, SIDE] }
  const [y] = await model.run({ x }, ['y'])
  await model.release()
  await copiesMade()
  return [...y!.data.subarray(0, 3)]
}

const copies = (cacheDir: string) => readdirSync(cacheDir).filter((name) => /^optimised-/.test(name))

it('a large model is copied once, and the copy opened from then on', { timeout: 120_000 }, async () => {
  const cacheDir = temporaryFolder()
  const source = largeSource()
  const notices: string[] = []
  const settings = { cacheDir, onNotice: (message: string) => notices.push(message) }
  expect(await run(source, settings)).toEqual([2, 3, 0])
  const [copy] = copies(cacheDir)
  const file = join(cacheDir, copy!, 'weights.bin')
  expect(statSync(file).size).toBeGreaterThanOrEqual(4 * SIDE * SIDE)
  const marks = () => readdirSync(join(cacheDir, copy!)).filter((name) => name.startsWith('.used-by-'))
  const again = await OnnxRuntimeModel.load(source, { ...ON_CPU, ...settings })
  expect(marks()).toHaveLength(1)
  await again.release()
  expect(marks()).toEqual([])
  expect(await run(source, settings)).toEqual([2, 3, 0])
  expect(copies(cacheDir)).toEqual([copy])

  // Cut off, it must not be mapped.
  truncateSync(file, statSync(file).size - 1)
  expect(await run(source, settings)).toEqual([2, 3, 0])
  expect(notices).toEqual([expect.stringMatching(/^The optimised copy of the unet is broken and is made anew \(/)])
  expect(statSync(file).size).toBeGreaterThanOrEqual(4 * SIDE * SIDE)

  // Another model of the same name is another.
  const changed = openSync(source.weights, 'r+')
  writeSync(changed, new Uint8Array(new Float32Array([5]).buffer), 0, 4, 0)
  closeSync(changed)
  expect(await run(source, settings)).toEqual([5, 3, 0])
  expect(copies(cacheDir)).toHaveLength(2)

  // Deleted under an open session.
  const model = await OnnxRuntimeModel.load(source, { ...ON_CPU, ...settings })
  rmSync(cacheDir, { recursive: true })
  const x = { data: new Float32Array(SIDE).fill(1, 0, 1), dims: [1, SIDE] }
  expect((await model.run({ x }, ['y']))[0]!.data[0]).toBe(5)
  await model.release()
})

it('without a folder that can be written everything works', { timeout: 120_000 }, async () => {
  const source = largeSource()
  const notices: string[] = []
  const onNotice = (message: string) => notices.push(message)
  const notAFolder = join(temporaryFolder(), 'file')
  writeFileSync(notAFolder, '')
  expect(await run(source, { cacheDir: notAFolder, onNotice })).toEqual([2, 3, 0])
  for (const cacheDir of [null, false] as const) expect(await run(source, { cacheDir, onNotice })).toEqual([2, 3, 0])
  expect(notices).toEqual([])
})
