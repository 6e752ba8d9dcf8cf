/**
 * `npm run bench`: every figure that the README states. Runs each `bench/NAME.bench.js` (or those named behind it) in a
 * process of its own and prints one table. A bench's default export gives rows `{ figure, value, target?, ok? }`.
 */

import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = new URL('./', import.meta.url)

async function main(names) {
  if (!existsSync(new URL('../dist/cli.js', folder))) throw new Error('There is no dist/; run `npm run build` first.')
  const all = readdirSync(folder).flatMap((file) => /^(.+)\.bench\.js$/.exec(file)?.[1] ?? [])
  const rows = []
  for (const name of names.length > 0 ? names : all) {
    if (!all.includes(name)) throw new Error(`There is no bench ${name}; choose from ${all.join(', ')}.`)
    process.stderr.write(`${name} …\n`)
    rows.push(...(await inItsOwnProcess(name)))
  }
  console.log(`Node ${process.version}, ${availableParallelism()} × ${cpus()[0]?.model.trim() ?? process.arch}\n`)
  print(rows)
  if (rows.some(({ ok }) => ok === false)) process.exitCode = 1
}

/** So that one bench's memory, caches and listeners never show in another's figures. */
async function inItsOwnProcess(name) {
  const script = `import bench from ${JSON.stringify(new URL(`${name}.bench.js`, folder).href)}
    process.stdout.write('\\n' + JSON.stringify(await bench()))
    process.exit()`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('../', folder)),
    maxBuffer: 2 ** 24,
  })
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1))
}

function print(rows) {
  const table = [['', 'measured', 'to reach'], ...rows.map(({ figure, value, target = '' }) => [figure, value, target])]
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column].length)))
  for (const [index, [figure, value, target]] of table.entries()) {
    const ok = { true: '  ✓', false: '  ✗' }[rows[index - 1]?.ok] ?? ''
    console.log(`${figure.padEnd(widths[0])}  ${value.padStart(widths[1])}  ${target.padStart(widths[2])}${ok}`)
  }
}

await main(process.argv.slice(2))
