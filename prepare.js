/** What npm runs after an install in a clone: builds the program, where the packages that build it are installed too. */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const builders = ['typescript', 'esbuild']
if (builders.every((name) => existsSync(`node_modules/${name}`))) {
  process.exitCode = spawnSync('npm run build', { shell: true, stdio: 'inherit' }).status ?? 1
} else if (!existsSync('dist/cli.js')) {
  console.error(
    'Seedling is not built, and what builds it was left out: copy dist/ here, or run npm ci without --omit=dev.',
  )
}
