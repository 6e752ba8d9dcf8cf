/** The page as people use it, in a real browser. */

import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { launch, missing } from './browser.ts'
import { type House, openHouse } from './house.ts'

if (missing) process.stderr.write(`\n${missing}\n\n`)

const WAIT_MS = 180_000
const COLOURS = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [0, 0, 0],
] as const

/** A preview of one colour a picture, in two columns as the engine makes it. */
function sheet(colours: typeof COLOURS): Promise<Buffer> {
  return sharp(Buffer.from(colours.flat()), { raw: { width: 2, height: 2, channels: 3 } })
    .resize(64, 64, { kernel: 'nearest' })
    .png()
    .toBuffer()
}

/** In the middle. */
async function colourOf(png: Buffer): Promise<number[]> {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const middle = (Math.floor(info.height / 2) * info.width + Math.floor(info.width / 2)) * 3
  return [...data.subarray(middle, middle + 3)]
}

describe.skipIf(missing)('the page', () => {
  let browser: Browser
  let house: House
  /** What no page may do: throw, or break its own security policy. */
  const faults: string[] = []

  beforeAll(async () => {
    ;[browser, house] = await Promise.all([launch(), openHouse()])
  })

  afterEach(async () => {
    for (const context of browser.contexts()) await context.close()
    expect(faults.splice(0)).toEqual([])
  })

  afterAll(async () => {
    await browser?.close()
    await house?.clear()
  })

  /** Nothing moves, so nothing waits until it has. */
  const still: BrowserContextOptions = {
    permissions: ['clipboard-read', 'clipboard-write'],
    reducedMotion: 'reduce',
  }

  async function visit(path = '/', options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ ...still, ...options })
    context.setDefaultTimeout(WAIT_MS)
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (/security policy|trusted/iu.test(message.text())) faults.push(message.text())
    })
    await page.goto(house.playground.address + path)
    await page.getByText('draws with tiny').waitFor()
    return page
  }

  const field = (page: Page) => page.getByRole('textbox', { name: 'What to draw' })
  const message = (page: Page, prompt: string) =>
    page.getByRole('article', { name: `Seedling: ${prompt.slice(0, 120)}` })
  const pictures = (within: Locator) => within.getByRole('button', { name: 'Look at' })

  async function say(page: Page, line: string): Promise<void> {
    await field(page).fill(line)
    await field(page).press('Enter')
  }

  /** Says it and waits for the pictures. */
  async function draw(page: Page, prompt: string, flags = ''): Promise<Locator> {
    await say(page, `${prompt} ${flags}`)
    const said = message(page, prompt)
    await pictures(said).first().waitFor()
    return said
  }

  it('completes what is typed, and sends it', async () => {
    const page = await visit()
    const options = page.getByRole('option')
    await field(page).press('/')
    expect(await options.allTextContents()).toEqual([
      expect.stringContaining('/imagine'),
      expect.stringContaining('/show'),
      expect.stringContaining('/help'),
    ])
    await field(page).press('Tab')
    await field(page).pressSequentially('a red apple --co')
    await field(page).press('Enter')
    expect(await field(page).inputValue()).toBe('/imagine a red apple --count ')
    await field(page).press('ArrowDown')
    expect(await page.getByRole('option', { selected: true }).textContent()).toContain('2')
    await field(page).press('Tab')
    expect(await field(page).inputValue()).toBe('/imagine a red apple --count 2 ')
    await field(page).pressSequentially('--ste')
    await options.first().click()
    await field(page).pressSequentially('5')
    await field(page).press('Enter')
    await pictures(message(page, 'a red apple')).nth(1).waitFor()
    expect(await message(page, 'a red apple').textContent()).toContain('steps 5')
    expect(await field(page).inputValue()).toBe('')
    await field(page).press('ArrowUp')
    expect(await field(page).inputValue()).toBe('/imagine a red apple --count 2 --steps 5')
  })

  it('shows a job from the line to its pictures, with previews, where the pictures will be', async () => {
    const page = await visit()
    await say(page, 'a slowly growing tree --count 3')
    const said = message(page, 'a slowly growing tree')
    const call = await house.engine.call('a slowly growing tree')
    const bar = said.getByRole('progressbar')
    await bar.waitFor()
    call.step(10, 40, await sheet(COLOURS))
    await said.getByText('Drawing · 25 %').waitFor()
    expect(await bar.getAttribute('aria-valuenow')).toBe('25')
    const tiles = said.locator('.coming-preview')
    await tiles.nth(2).waitFor()
    for (const [index, colour] of COLOURS.slice(0, 3).entries()) {
      expect(await colourOf(await tiles.nth(index).screenshot()), `tile ${index}`).toEqual(colour)
    }
    const { y: _, ...room } = (await said.locator('.pictures').boundingBox())!
    call.finish()
    await pictures(said).nth(2).waitFor()
    expect(await said.locator('.pictures').boundingBox()).toMatchObject(room)
    expect(await bar.count()).toBe(0)
    expect(await said.getByRole('group').textContent()).toBe('🔄V1V2V3U1U2U3🗑')
    await page.getByRole('status').filter({ hasText: '3 pictures are ready: a slowly growing tree' }).waitFor()
  })

  it('keeps a prompt text, whatever it says', async () => {
    const page = await visit()
    const prompt = `<img src=x onerror="document.title='broken'"><script>document.title='broken'</script> & <b>bold</b>`
    await say(page, prompt)
    await page.getByRole('button', { name: 'Look at' }).waitFor()
    expect(await page.locator('.prompt').textContent()).toBe(prompt)
    expect(await page.locator('li.message img').count()).toBe(1)
    await page.getByRole('button', { name: 'Look at' }).click()
    expect(await page.getByRole('dialog').textContent()).toContain(prompt)
    await page.reload()
    await page.getByRole('button', { name: 'Look at' }).waitFor()
    expect(await page.title()).toBe('Seedling')
  })

  it('draws again, varies and enlarges at a click, and cancels and deletes', async () => {
    const page = await visit()
    const said = await draw(page, 'a blue fish')
    const all = page.getByRole('listitem').filter({ hasText: 'Seedling' })
    await said.getByRole('button', { name: 'Draw again with a new seed' }).click()
    await page.getByText('Re-roll ·').waitFor()
    await said.first().getByRole('button', { name: 'Vary picture 1' }).click()
    await page.getByText('Variation ·').waitFor()
    await said.first().getByRole('button', { name: 'Enlarge picture 1' }).click()
    await page.getByText('Upscale ·').waitFor()
    const pressed = await page.locator('.asked .command').allTextContents()
    expect(pressed).toEqual(['/imagine', '🔄', 'V1', 'U1'])
    expect(await pictures(said.nth(3)).locator('img').getAttribute('width')).toBe('128')
    await said.nth(1).getByRole('button', { name: 'Delete' }).click()
    await page.getByText('Re-roll ·').waitFor({ state: 'detached' })
    expect(await all.count()).toBe(3)

    await say(page, 'a slow snail, slowly')
    await message(page, 'a slow snail, slowly').getByRole('button', { name: 'Cancel' }).click()
    await message(page, 'a slow snail, slowly').getByText('Cancelled').waitFor()
  })

  it('looks at a picture by itself, goes to the next by key, and offers it as a file', async () => {
    const page = await visit()
    const said = await draw(page, 'a fox', '--count 3')
    await pictures(said).nth(1).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('2 / 3').waitFor()
    await page.keyboard.press('ArrowRight')
    await dialog.getByText('3 / 3').waitFor()
    await page.keyboard.press('ArrowRight')
    await dialog.getByText('1 / 3').waitFor()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      dialog.getByRole('link', { name: 'Download' }).click(),
    ])
    expect(download.suggestedFilename()).toMatch(/^seedling-[0-9a-f]{16}-1\.png$/)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
  })

  it('shows a job to whoever follows its link, without the buttons that are not theirs', async () => {
    const author = await visit()
    const said = await draw(author, 'a lighthouse')
    await said.hover()
    await said.getByRole('button', { name: 'Copy a link to this job' }).click()
    await said.getByRole('button', { name: 'Copied' }).waitFor()
    const link: string = await author.evaluate('navigator.clipboard.readText()')
    const job = link.split('#')[1]!
    expect(link).toBe(`${house.playground.address}/#${job}`)

    const stranger = await visit(`/#${job}`)
    const shown = message(stranger, 'a lighthouse')
    await pictures(shown).waitFor()
    expect(await shown.getByRole('group').textContent()).toBe('🔄V1U1')
    const forged = `fetch('/api/act', { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'delete:0:${job}' }) }).then((answer) => answer.status)`
    expect(await stranger.evaluate(forged)).toBe(403)
    await author.reload()
    await pictures(said).waitFor()
    await said.getByRole('button', { name: 'Delete' }).click()
    await shown.waitFor({ state: 'detached' })
  })

  it('says what is wrong to the visitor alone, and gives the line back', async () => {
    const page = await visit()
    await say(page, 'a cat --steps 500')
    const sentence = page.locator('.sentence').last()
    await sentence.getByText('steps is “500”; it must be a whole number from 1 to 100.').waitFor()
    expect(await field(page).inputValue()).toBe('a cat --steps 500')
    await page.getByRole('button', { name: 'Dismiss' }).click()
    await page.getByText('Only you can see this').waitFor({ state: 'detached' })
    await say(page, '/dance')
    await sentence.getByText('/dance is not a command here; use /imagine, /show or /help.').waitFor()
    await say(page, '/help')
    await page.getByText('How closely to follow the prompt').waitFor()
    await page.reload()
    await page.getByText('What shall we draw?').waitFor()
  })

  it('copies the command, and takes it up for editing', async () => {
    const page = await visit()
    const said = await draw(page, 'a boat', '--seed 7 --no sails')
    await said.hover()
    await said.getByRole('button', { name: 'Copy the command' }).click()
    await said.getByRole('button', { name: 'Copied' }).waitFor()
    const command = '/imagine a boat --no "sails" --seed 7 --steps 20 --guidance 4 --size 64x64'
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(command)
    await said.getByRole('button', { name: 'Edit and draw again' }).click()
    expect(await field(page).inputValue()).toBe(command)
  })

  it('comes back after a reload, and goes on by itself after a restart', async () => {
    const page = await visit()
    await draw(page, 'a castle')
    await page.reload()
    await pictures(message(page, 'a castle')).waitFor()

    await house.stop()
    await page.getByText('Reconnecting…').waitFor()
    house = await openHouse({ dataDir: house.dataDir, port: Number(new URL(house.playground.address).port) })
    await page.getByText('Reconnecting…').waitFor({ state: 'detached' })
    await draw(page, 'a bridge')
    expect(await page.locator('.prompt').allTextContents()).toEqual(['a castle', 'a bridge'])
    await page.reload()
    await pictures(message(page, 'a castle')).waitFor()
  })

  it('fits a telephone, with the longest words', async () => {
    const page = await visit('/', { viewport: { width: 340, height: 640 }, hasTouch: true, isMobile: true })
    await page.getByRole('button', { name: 'a red apple' }).waitFor()
    await draw(page, 'Donaudampfschifffahrtsgesellschaft'.repeat(12), '--count 4')
    await field(page).fill('a cat --')
    await page.getByRole('option').first().waitFor()
    const width = await page.evaluate('document.scrollingElement.scrollWidth')
    expect(width).toBe(340)
  })

  it('gives every control a name', async () => {
    const page = await visit()
    const said = await draw(page, 'a kite', '--count 2')
    await pictures(said).first().click()
    const tree = await page.locator('body').ariaSnapshot()
    expect(tree).toContain('button "Next picture"')
    expect(tree).not.toMatch(/- (button|link|textbox|img|progressbar)(:|$)/mu)
  })
})
