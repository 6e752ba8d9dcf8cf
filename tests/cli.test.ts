/** The command line as people call it: the built program, its files, its words and its exit codes. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { WriteStream } from 'node:tty'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { helpText, parseFlags } from '../src/cli/flags.ts'
import { barOutput } from '../src/cli/progress.ts'
import { settings } from '../src/config.ts'
import { formatParameters, parseParameters } from '../src/engine/images/parameters.ts'
import { readPngText, writePngText } from '../src/engine/images/png-text.ts'
import { temporaryFolder, tinyPipeline } from './engine/tiny-pipeline.ts'

const program = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
const embedded = fileURLToPath(new URL('../models/emoji', import.meta.url))
/** Quick to load. */
const model = tinyPipeline('tiny-sd1')
const folder = temporaryFolder()

function start(...args: string[]): ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
  const env = { PATH: process.env.PATH, SEEDLING_DEVICE: 'cpu', SEEDLING_MODEL: model }
  return spawn(process.execPath, [program, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function run(...args: string[]) {
  const process = start(...args)
  const [stdout, stderr, [code]] = await Promise.all([
    text(process.stdout),
    text(process.stderr),
    once(process, 'exit'),
  ])
  return { stdout, stderr, code }
}

describe('seedling', () => {
  it('says what it can do', async () => {
    expect(await run('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('imagine'), stderr: '' })
    expect(await run()).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Usage') })
    expect(await run('draw')).toMatchObject({ code: 2, stderr: expect.stringContaining('no command “draw”') })
    expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect(await run('strat')).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean start?') })
  })
})

describe('seedling start', () => {
  it('explains itself and its settings, and starts nothing', async () => {
    for (const flag of ['--help', '-h']) {
      const { code, stdout, stderr } = await run('start', flag)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      for (const name of Object.keys(settings.shape)) expect(stdout).toMatch(new RegExp(`^ +${name} +\\S`, 'm'))
    }
  })

  it.each([
    [['--port', '4000'], '“--port” is nothing that it takes; set PORT in the environment or in .env.'],
    [['--model=x'], '“--model=x” is nothing that it takes; set SEEDLING_MODEL in the environment or in .env.'],
    [['now'], '“now” is nothing that it takes;'],
  ])('takes no arguments: %o', async (args, sentence) => {
    expect(await run('start', ...args)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(sentence),
    })
  })
})

describe('seedling imagine', () => {
  it('writes one seed after another and makes each again, byte for byte', async () => {
    const args = ['--seed', '4294967294', '--count', '3', '--steps', '2', '--no', 'leaves', '--out', 'made', '--json']
    const made = await run('imagine', 'a red', 'apple', '--model', embedded, ...args)
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const lines = made.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ file, seed }) => [file, seed])).toEqual([
      ['made/image_1.png', 4294967294],
      ['made/image_2.png', 4294967295],
      ['made/image_3.png', 0],
    ])
    expect(lines[0]).toMatchObject({
      prompt: 'a red apple',
      negativePrompt: 'leaves',
      numInferenceSteps: 2,
      width: 128,
    })
    expect((await readdir(join(folder, 'made'))).sort()).toEqual(['image_1.png', 'image_2.png', 'image_3.png'])

    const again = await run('imagine', '--from', 'made/image_2.png', '--out', 'again', '--model', embedded)
    expect(again).toMatchObject({ code: 0, stdout: 'again/image_1.png  seed 4294967295  128x128\n' })
    expect(await readFile(join(folder, 'again/image_1.png'))).toEqual(await readFile(join(folder, 'made/image_2.png')))
  })

  it('never guesses which model made a picture', async () => {
    const refused = await run('imagine', '--from', 'made/image_1.png', '--out', 'never')
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(
      /image_1\.png was made by emoji \([0-9a-f]{10}\), and this model is seedling-.*--model/,
    )
    expect(await readdir(join(folder, 'never'))).toEqual([])
  })

  it('makes a variation of a variation, enlarged, from the parameters in a file', async () => {
    await run('imagine', 'a red apple', '--steps', '2', '--size', '64', '--out', 'plain')
    const plain = await readFile(join(folder, 'plain/image_1.png'))
    const variations = [
      { seed: 5, strength: 0.25 },
      { seed: 6, strength: 0.5 },
    ]
    const asked = formatParameters({ ...parseParameters(readPngText(plain, 'parameters')!), variations, upscale: 2 })
    await writeFile(join(folder, 'asked.png'), writePngText(plain, 'parameters', asked))
    expect(await run('imagine', '--from', 'asked.png', '--out', 'first')).toMatchObject({ code: 0 })
    const first = await readFile(join(folder, 'first/image_1.png'))
    expect(readPngText(first, 'parameters')).toBe(asked)
    expect([first.readUInt32BE(16), first.readUInt32BE(20)]).toEqual([128, 128])
  })

  it('clears the ground away, also of what is enlarged, and makes that again byte for byte', async () => {
    const args = ['--seed', '1', '--steps', '2', '--model', embedded]
    await run('imagine', 'a red apple', '--transparent', ...args, '--out', 'clear')
    const clear = await readFile(join(folder, 'clear/image_1.png'))
    expect(await sharp(clear).metadata()).toMatchObject({ width: 128, hasAlpha: true })
    const made = parseParameters(readPngText(clear, 'parameters')!)
    const asked = formatParameters({ ...made, upscale: 2 })
    await writeFile(join(folder, 'larger.png'), writePngText(clear, 'parameters', asked))
    for (const [from, width] of [
      ['clear/image_1.png', 128],
      ['larger.png', 256],
    ] as const) {
      await run('imagine', '--from', from, '--model', embedded, '--out', 'once')
      await run('imagine', '--from', 'once/image_1.png', '--model', embedded, '--out', 'twice')
      const [once, twice] = await Promise.all(
        ['once', 'twice'].map((name) => readFile(join(folder, name, 'image_1.png'))),
      )
      expect(await sharp(once).metadata()).toMatchObject({ width, hasAlpha: true })
      expect(twice).toEqual(once)
    }
    await run('imagine', '--from', 'clear/image_1.png', '--model', embedded, '--out', 'once')
    expect(await readFile(join(folder, 'once/image_1.png'))).toEqual(clear)
  })

  it('reads an earlier layer of the text encoder when it is asked to, and again from the picture', async () => {
    const args = ['a red apple', '--seed', '1', '--steps', '2', '--size', '64']
    await run('imagine', ...args, '--out', 'last')
    expect(await run('imagine', ...args, '--clip-skip', '2', '--out', 'earlier')).toMatchObject({ code: 0, stderr: '' })
    await run('imagine', '--from', 'earlier/image_1.png', '--out', 'earlier-again')
    const [last, earlier, again] = await Promise.all(
      ['last', 'earlier', 'earlier-again'].map((name) => readFile(join(folder, name, 'image_1.png'))),
    )
    expect(again).toEqual(earlier)
    expect(readPngText(earlier!, 'parameters')).toContain(', Clip skip: 2, ')
    expect(readPngText(last!, 'parameters')).not.toContain('Clip skip')
    const [one, other] = await Promise.all([last!, earlier!].map((png) => sharp(png).raw().toBuffer()))
    expect(one).not.toEqual(other)
    expect(await run('imagine', ...args, '--clip-skip', '3', '--out', 'never')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('clip-skip is “3”; it must be a whole number from 1 to 2.'),
    })
  })

  it('keeps what is written when it is interrupted', async () => {
    const process = start('imagine', 'a red apple', '--count', '10000', '--steps', '1', '--out', 'stopped')
    const errors = text(process.stderr)
    const [line] = await once(createInterface(process.stdout), 'line')
    expect(line).toMatch(/^stopped\/image_1\.png {2}seed \d+ {2}64x64$/)
    process.kill('SIGINT')
    expect(await once(process, 'exit')).toEqual([130, null])
    expect(await errors).toMatch(/^\d+ of 10000 pictures in stopped\n$/)
    const files = await readdir(join(folder, 'stopped'))
    expect(files).toContain('image_1.png')
    expect(files.every((file) => file.endsWith('.png'))).toBe(true)
    for (const file of files)
      expect(readPngText(await readFile(join(folder, 'stopped', file)), 'parameters')).toBeDefined()
  })

  it('ends quietly when nobody reads on', async () => {
    const process = start('imagine', 'a red apple', '--count', '10000', '--steps', '1', '--out', 'piped', '--json')
    await once(createInterface(process.stdout), 'line')
    process.stdout.destroy()
    const [[code], errors] = await Promise.all([once(process, 'exit'), text(process.stderr)])
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
  })

  it.each([
    [2, /--colour is not an option; use --negative, .*--out.* or --/i, ['a', '--colour', 'red']],
    [2, /--setps is not an option \(did you mean --steps\?\); use/, ['a', '--setps', '3']],
    [2, /--v is not an option \(the model is .*\); use/, ['a', '--v', '6']],
    [2, /--tile is not an option \(.*\); use/, ['a cat --tile']],
    [2, /--seed stands inside the prompt and outside of it/, ['a cat --seed 7', '--seed', '8']],
    [2, /--out stands inside the prompt; write it outside of the quotes/, ['a cat --out there']],
    [2, /steps is “500”; it must be/, ['a cat --steps 500']],
    [2, /prompt holds a link/, ['a cat like https://example.com/cat.png']],
    [2, /leave out the prompt/, ['a', '--from', 'made/image_1.png']],
    [2, /--negative and --no are the same/, ['a', '--no', 'b', '--negative', 'c']],
    [2, /prompt is empty/, []],
    [2, /count is “10001”; it must be a whole number from 1 to 10000/, ['a', '--count', '10001']],
    [2, /size is “63”; both sides must be multiples of 16 from 16 to 128/, ['a', '--size', '63']],
    [2, /size is “4096x4096”; both sides must be multiples of 16 from 16 to 128/, ['a', '--size', '4096x4096']],
    [2, /size is “big”; both sides must be multiples of 16 from 16 to 128/, ['a', '--size', 'big']],
    [
      2,
      /size is “136”; both sides must be multiples of 32 from 32 to 256/,
      ['a', '--size', '136', '--model', embedded],
    ],
    [1, /Cannot write notes\.txt: there is a file of that name/, ['a', '--out', 'notes.txt']],
    [1, /Cannot write notes\.txt\/deeper: a part of the path is a file/, ['a', '--out', 'notes.txt/deeper']],
    [1, /There is no file none\.png/, ['--from', 'none.png']],
    [1, /This file is no PNG/, ['--from', 'notes.txt']],
    [1, /There is no folder.*nowhere/, ['a', '--model', 'nowhere']],
    [1, /no device "abacus"/, ['a', '--device', 'abacus']],
  ])('ends with %i and says %s', async (code, sentence, args) => {
    await writeFile(join(folder, 'notes.txt'), 'nothing of interest')
    const ended = await run('imagine', ...args)
    expect(ended).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(sentence) })
  })
})

describe('a larger size', () => {
  it('is taken where the operator allows it', async () => {
    const { code, stderr } = await run('imagine', 'a', '--size', '160x128', '--steps', '1', '--out', 'large')
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('from 16 to 128') })
    const env = { PATH: process.env.PATH, SEEDLING_DEVICE: 'cpu', SEEDLING_MODEL: model, SEEDLING_MAX_SIZE: '160' }
    const args = ['imagine', 'a', '--size', '160x128', '--steps', '1', '--out', 'large']
    const allowed = spawn(process.execPath, [program, ...args], { cwd: folder, env, stdio: 'ignore' })
    expect(await once(allowed, 'exit')).toEqual([0, null])
  })
})

describe('the flags', () => {
  it('may stand inside the prompt, and with any dashes, as in a chat', () => {
    const values = { prompt: 'a cat', seed: '7', count: '2' }
    for (const args of [
      ['a cat --seed 7', '-n', '2'],
      ['a cat', '–seed', '7', '--count=2'],
      ['a cat', '-seed', '7', '-count=2'],
      ['a cat -seed 7 —count 2'],
      ['a', 'cat', '——seed', '7', '−−count=2'],
    ])
      expect(parseFlags(args).values, args.join(' ')).toEqual(values)
    expect(parseFlags(['a cat', '--no=-5', '--', '-5']).values).toEqual({ prompt: 'a cat -5', negative: '-5' })
  })

  it('are the options of /imagine', () => {
    expect(parseFlags(['a red', '--transparent', 'apple', '-n', '3', '--ar=16:9', '--cfg', '5', '--json'])).toEqual({
      values: { prompt: 'a red apple', count: '3', aspect: '16:9', guidance: '5', transparent: true },
      out: 'output',
      json: true,
      help: false,
    })
    for (const flag of [
      '--negative',
      '--seed',
      '--steps',
      '--guidance',
      '--size',
      '--aspect',
      '--count, -n',
      '--transparent',
      '--clip-skip',
      '--out',
    ])
      expect(helpText()).toContain(flag)
  })
})

describe('the progress bar', () => {
  it('stays on one line, counts up and goes', () => {
    const screen = new PassThrough()
    const bar = barOutput(screen as unknown as WriteStream, 4)
    const first = String(screen.read())
    expect(first).toContain('░░░░░   0 %  0 of 4')
    bar.close()
    expect(String(screen.read())).not.toContain('\n')
  })
})
