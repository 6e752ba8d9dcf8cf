/** The browser that the page is tried in: Debian's Chromium, or the one that `CHROMIUM` names. */

import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const path = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Why the page cannot be tried here; undefined where it can. */
export const missing = existsSync(path)
  ? undefined
  : `No browser at ${path}: the page is NOT tested. Install Debian's chromium, or set CHROMIUM to one.`

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
const QUIET = ['--disable-background-networking', '--disable-component-update', '--disable-sync']

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: path, args: [...FLAGS, ...QUIET], timeout: 180_000 })
}
