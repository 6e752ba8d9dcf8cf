/**
 * `npm run bench`: every figure that the README states. Runs each `bench/NAME.bench.js` (or those named behind it) in a
 * process of its own and prints one table. A bench's default export gives the rows that `figures.js` makes.
 *
 * Takes about five minutes, and fifteen with the full-size pipeline on two cores; leave the machine alone meanwhile.
 * - `SEEDLING_BENCH_PYTHON`: a Python with torch, diffusers, transformers and optimum-onnx, for the alternatives.
 * - `SEEDLING_BENCH_FULL_SIZE`: what `reference/make_full_size.py` made.
 */

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = new URL('./', import.meta.url)

async function main(names) {
  if (!existsSync(new URL('../dist/cli.js', folder))) throw new Error('There is no dist/; run `npm run build` first.')
  const all = readdirSync(folder).flatMap((file) => /^(.+)\.bench\.js$/.exec(file)?.[1] ?? [])
  const [loadBefore] = loadavg()
  const rows = []
  for (const name of names.length > 0 ? names : all) {
    if (!all.includes(name)) throw new Error(`There is no bench ${name}; choose from ${all.join(', ')}.`)
    process.stderr.write(`${name} …\n`)
    rows.push(...(await inItsOwnProcess(name)))
  }
  const machine = `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? process.arch}`
  console.log(`Node ${process.version}, ${machine}, load before ${loadBefore.toFixed(1)}\n`)
  print(rows)
  if (rows.some(({ ok }) => ok === false)) process.exitCode = 1
}

/** So that one bench's memory, caches and listeners never show in another's figures. */
async function inItsOwnProcess(name) {
  const script = `import bench from ${JSON.stringify(new URL(`${name}.bench.js`, folder).href)}
    process.stdout.write('\\n' + JSON.stringify(await bench()))
    process.exit()`
  const running = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('../', folder)),
    maxBuffer: 2 ** 24,
  })
  running.child.stderr.pipe(process.stderr)
  const { stdout } = await running
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1))
}

/** A row whose first column is all that it has is a remark, and takes the room that it needs. */
function print(rows) {
  const columns = ['figure', 'value', 'target', 'alternative', 'ratio']
  const head = {
    figure: '',
    value: 'measured',
    target: 'to reach',
    alternative: 'alternative',
    ratio: 'ratio (middle half)',
  }
  const full = [head, ...rows.filter(({ value }) => value)]
  const widths = columns.map((column) => Math.max(...full.map((row) => (row[column] ?? '').length)))
  for (const row of [head, ...rows]) {
    const cells = columns.map((column, i) => {
      const text = row[column] ?? ''
      return i === 1 ? text.padStart(widths[i]) : text.padEnd(widths[i])
    })
    console.log(`${{ true: '✓', false: '✗' }[row.ok] ?? ' '} ${cells.join('  ').trimEnd()}`)
  }
}

await main(process.argv.slice(2))
