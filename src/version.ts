/** Which Seedling this is, for the pictures' parameters and `--version`. */

import { readFileSync } from 'node:fs'

export const VERSION: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version
