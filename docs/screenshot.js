/** Makes the README's picture of the playground from the program that runs: `npm start`, then `node docs/screenshot.js`. */

import { writeFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'
import sharp from 'sharp'

const address = process.argv[2] ?? 'http://localhost:3000'
const file = process.argv[3] ?? 'docs/playground.png'
const MAX_BYTES = 200_000
const WAIT_MS = 120_000

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars'],
})
try {
  const viewport = { width: 960, height: 960 }
  const page = await browser.newPage({ viewport, deviceScaleFactor: 2, colorScheme: 'dark', reducedMotion: 'reduce' })
  page.setDefaultTimeout(WAIT_MS)
  await page.goto(address)
  const field = page.getByRole('combobox', { name: 'What to draw' })
  for (const prompt of ['a penguin on a pink background', 'an owl wearing sunglasses']) {
    await field.fill(`/imagine ${prompt} --seed 7 --count 4`)
    await field.press('Enter')
    await page.locator('.message-done').filter({ hasText: prompt }).waitFor()
  }
  await page.waitForFunction('[...document.images].every((image) => image.complete)')
  await field.pressSequentially('/imagine a sad pizza')
  await writeFile(file, await optimised(await page.screenshot()))
} finally {
  await browser.close()
}

/** As many colours as fit the size. @param {Buffer} png */
async function optimised(png) {
  for (const colours of [256, 128, 64]) {
    const smaller = await sharp(png)
      .png({ palette: true, colours, dither: 0, effort: 10, compressionLevel: 9 })
      .toBuffer()
    if (smaller.length < MAX_BYTES) return smaller
  }
  throw new Error(`The picture is larger than ${MAX_BYTES} bytes even with 64 colours; make the window smaller.`)
}
