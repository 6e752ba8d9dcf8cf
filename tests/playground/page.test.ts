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

const phone: BrowserContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

/** Words of what a selector finds that stand on two lines. */
const BROKEN_WORDS = `(selector) => {
  const broken = []
  for (const element of document.querySelectorAll(selector)) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      for (const { 0: word, index } of walker.currentNode.data.matchAll(/[^\\s-]+/g)) {
        const range = document.createRange()
        range.setStart(walker.currentNode, index)
        range.setEnd(walker.currentNode, index + word.length)
        if (new Set([...range.getClientRects()].map(({ top }) => top)).size > 1) broken.push(word)
      }
    }
  }
  return broken
}`

/** What can be pressed and is smaller than a finger. */
const SMALL_TARGETS = `[...document.querySelectorAll('button, a, input, [role="option"]')]
  .map((target) => [target, target.getBoundingClientRect()])
  .filter(([target, { width, height }]) => target.checkVisibility() && (width < 44 || height < 44))
  .map(([target, { width, height }]) => (target.ariaLabel ?? target.textContent) + ' ' + width + 'x' + height)`

/** What has the focus, by its name. */
const FOCUSED = `(document.activeElement.ariaLabel ?? document.activeElement.textContent) || document.activeElement.tagName`

interface Scale {
  readonly across: number
  readonly down: number
  readonly pixelated: boolean
}

/** How many of the screen's pixels one of a picture's takes. */
const SCALES = `[...document.querySelectorAll(document.querySelector('dialog') ? 'dialog img' : '.pictures img')].map((img) => ({
  across: (img.getBoundingClientRect().width * devicePixelRatio) / img.naturalWidth,
  down: (img.getBoundingClientRect().height * devicePixelRatio) / img.naturalHeight,
  pixelated: getComputedStyle(img).imageRendering === 'pixelated',
}))`

const LOADED = '[...document.images].every(({ naturalWidth }) => naturalWidth > 0)'

function isFair({ across, down, pixelated }: Scale): boolean {
  const isWhole = Math.abs(across - Math.round(across)) < 0.02
  return Math.abs(across - down) < 0.02 && (!pixelated || isWhole)
}

describe.skipIf(missing)('the page', { timeout: 120_000 }, () => {
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
    const page = await open(options)
    await page.goto(house.playground.address + path)
    await page.getByText('draws with tiny').waitFor()
    return page
  }

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ ...still, ...options })
    context.setDefaultTimeout(WAIT_MS)
    const page = await context.newPage()
    page.on('pageerror', (error) => faults.push(error.message))
    page.on('console', (message) => {
      if (/security policy|trusted/iu.test(message.text())) faults.push(message.text())
    })
    return page
  }

  const field = (page: Page) => page.getByRole('combobox', { name: 'What to draw' })
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
    expect(await said.getByRole('group').textContent()).toBe('V1V2V3U1U2U3')
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
    expect(pressed).toEqual(['/imagine', '', 'V1', 'U1'])
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

  it('shows a job to its author by an address, and to nobody else', async () => {
    const author = await visit()
    const said = await draw(author, 'a lighthouse')
    const job = (await author.locator('li.message').getAttribute('id'))!.slice('job-'.length)
    await author.evaluate(`location.hash = '${job}'`)
    await author.locator(`#job-${job}.message-shown`).waitFor()
    await pictures(said).waitFor()

    const stranger = await visit(`/#${job}`)
    await stranger.locator('.sentence').getByText('That job was drawn elsewhere; ask for it there.').waitFor()
    expect(await stranger.locator('body').textContent()).not.toContain('lighthouse')
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

    await say(page, 'a moat, slowly')
    await message(page, 'a moat, slowly').getByText('Drawing').waitFor()
    await house.stop()
    await page.getByText('Reconnecting…').waitFor()
    await message(page, 'a moat, slowly').getByText('Goes on when Seedling is back').waitFor()
    house = await openHouse({ dataDir: house.dataDir, port: Number(new URL(house.playground.address).port) })
    await page.getByText('Reconnecting…').waitFor({ state: 'detached' })
    const call = await house.engine.call('a moat, slowly')
    call.finish()
    await pictures(message(page, 'a moat, slowly')).waitFor()
    await draw(page, 'a bridge')
    expect(await page.locator('.prompt').allTextContents()).toEqual(['a castle', 'a moat, slowly', 'a bridge'])
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

  it('breaks no word of a header on a telephone, however long a name or an age', async () => {
    const named = await openHouse({ model: 'stable-diffusion-v1-5-inpainting-and-more' })
    try {
      const page = await open(phone)
      await page.clock.setFixedTime(Date.now() + 400 * 86_400_000)
      await page.goto(named.playground.address)
      const said = await draw(page, 'a yacht', '--count 2')
      await said.getByRole('button', { name: 'Vary picture 1' }).click()
      await page.getByText('Variation ·').waitFor()
      await say(page, '/help')
      for (const header of ['.head', '.asked', '.said header']) {
        expect(await page.locator(header).count(), header).toBeGreaterThan(0)
        expect(await page.evaluate(`(${BROKEN_WORDS})('${header}')`), header).toEqual([])
      }
      expect(await page.evaluate('document.scrollingElement.scrollWidth')).toBe(390)
    } finally {
      await named.clear()
    }
  })

  it('gives fingers room', async () => {
    const page = await visit('/', phone)
    expect(await page.evaluate(SMALL_TARGETS), 'welcome').toEqual([])
    const said = await draw(page, 'a spoon', '--count 2')
    await said.getByRole('button', { name: 'Vary picture 1' }).click()
    await page.getByText('Variation ·').waitFor()
    await say(page, 'x'.repeat(600))
    await say(page, 'a cat --v 6')
    await page.getByRole('button', { name: 'Dismiss' }).waitFor()
    await said.first().getByRole('button', { name: 'Delete' }).click()
    await field(page).fill('a cat --')
    await page.getByRole('option').first().waitFor()
    expect(await page.evaluate(SMALL_TARGETS), 'chat').toEqual([])
    await pictures(said).first().click()
    expect(await page.evaluate(SMALL_TARGETS), 'viewer').toEqual([])
  })

  it('draws its buttons itself, on devices without a font of emoji too', async () => {
    const page = await visit()
    const said = await draw(page, 'a drum')
    await said.getByRole('button', { name: 'Draw again with a new seed' }).click()
    await page.getByText('Re-roll ·').waitFor()
    await say(page, '/help')
    await page.getByText('Under each result').waitFor()
    expect(await page.locator('body').textContent()).not.toMatch(/\p{Extended_Pictographic}/u)
    for (const name of ['Draw again with a new seed', 'Delete']) {
      expect(await said.first().getByRole('button', { name }).locator('svg').count(), name).toBe(1)
    }
  })

  it('has one note for one mistake, however often it is made, and few for many', async () => {
    const page = await visit()
    await say(page, 'a slow river, slowly')
    await message(page, 'a slow river, slowly').getByRole('progressbar').waitFor()
    for (let times = 1; times <= 6; times++) {
      await field(page).fill('a cat --v 6')
      await field(page).press('Enter')
      await page
        .locator('.sentence')
        .filter({ hasText: times === 1 ? '--v' : `(${times} times)` })
        .waitFor()
    }
    expect(await page.locator('.sentence').count()).toBe(1)
    for (const steps of [101, 102, 103, 104, 105]) {
      await field(page).fill(`a cat --steps ${steps}`)
      await field(page).press('Enter')
      await page
        .locator('.sentence')
        .filter({ hasText: String(steps) })
        .waitFor()
    }
    expect(await page.locator('.sentence').count()).toBe(3)
    await message(page, 'a slow river, slowly').getByRole('button', { name: 'Cancel' }).click()
  })

  it('gives a refused line back even when the next one is being typed', async () => {
    const page = await visit()
    let answer = () => {}
    const held = new Promise<void>((resolve) => {
      answer = resolve
    })
    await page.route('**/api/imagine', async (route) => {
      await held
      await route.continue()
    })
    await say(page, 'a long and careful prompt --v 6')
    await field(page).fill('the next')
    answer()
    await page.locator('.sentence').waitFor()
    expect(await field(page).inputValue()).toBe('the next')
    await page.getByRole('button', { name: 'Edit', exact: true }).click()
    expect(await field(page).inputValue()).toBe('a long and careful prompt --v 6')
  })

  it('lets a deletion be taken back, and moves nothing under the pointer', async () => {
    const page = await visit('/', { viewport: { width: 1100, height: 1600 } })
    await draw(page, 'first ball')
    await draw(page, 'second ball')
    const [first, second] = [message(page, 'first ball'), message(page, 'second ball')]
    const before = await second.boundingBox()
    const job = (await page.locator('li.message').first().getAttribute('id'))!.slice('job-'.length)
    await first.getByRole('button', { name: 'Delete' }).click()
    const undo = page.getByRole('button', { name: 'Undo' })
    expect(await page.evaluate(FOCUSED)).toBe('Undo')
    expect(await second.boundingBox()).toEqual(before)
    await undo.click()
    await pictures(first).waitFor()
    expect(await page.evaluate(FOCUSED)).toBe('Seedling: first ball')
    expect((await house.queue.get(job))!.deletedAt).toBeUndefined()

    await first.getByRole('button', { name: 'Delete' }).focus()
    await page.keyboard.press('Enter')
    await undo.waitFor({ state: 'detached' })
    expect((await house.queue.get(job))!.deletedAt).toBeDefined()
    expect(await second.boundingBox()).toEqual(before)
    expect(await page.evaluate(FOCUSED)).toBe('Deleted: first ball')
  })

  it('deletes when the page is left before that', async () => {
    const page = await visit()
    const said = await draw(page, 'a kettle')
    const job = (await page.locator('li.message').getAttribute('id'))!.slice('job-'.length)
    const gone = new Promise<void>((resolve) =>
      house.queue.on('change', ({ id, deletedAt }) => void (id === job && deletedAt !== undefined && resolve())),
    )
    await said.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Undo' }).waitFor()
    await page.goto('about:blank')
    await gone
  })

  it('keeps the focus near a button that goes away', async () => {
    const page = await visit()
    await say(page, 'a slow tide, slowly')
    const said = message(page, 'a slow tide, slowly')
    await said.getByRole('button', { name: 'Cancel' }).focus()
    await page.keyboard.press('Enter')
    await said.getByText('Cancelled').waitFor()
    expect(await page.evaluate(FOCUSED)).toBe('Seedling: a slow tide, slowly')
    await say(page, 'a cat --v 6')
    await page.getByRole('button', { name: 'Dismiss' }).focus()
    await page.keyboard.press('Enter')
    await page.locator('.sentence').waitFor({ state: 'detached' })
    expect(await page.evaluate(FOCUSED)).toBe('What to draw')
  })

  it('offers nothing that must be refused', async () => {
    const page = await visit()
    const said = await draw(page, 'a wheel')
    const enlarge = { name: 'Enlarge picture 1' }
    await said.getByRole('button', enlarge).click()
    await pictures(said.nth(1)).waitFor()
    await said.nth(1).getByRole('button', enlarge).click()
    await pictures(said.nth(2)).waitFor()
    expect(await said.nth(2).locator('img').getAttribute('width')).toBe('256')
    expect(await said.nth(2).getByRole('group').textContent()).toBe('V1')
  })

  it('says of the field that it has a list, and whether that is open', async () => {
    const page = await visit()
    const expanded = () => field(page).getAttribute('aria-expanded')
    expect([await field(page).getAttribute('aria-haspopup'), await expanded()]).toEqual(['listbox', 'false'])
    await field(page).press('/')
    await page.getByRole('option').first().waitFor()
    expect(await expanded()).toBe('true')
    const list = await field(page).getAttribute('aria-controls')
    expect(await page.locator(`#${list}`).getAttribute('role')).toBe('listbox')
    expect(await page.locator(`#${await field(page).getAttribute('aria-activedescendant')}`).count()).toBe(1)
    await page.keyboard.press('Escape')
    expect(await expanded()).toBe('false')
  })

  it.each([1, 1.25, 2, 3])('shows hard pixels by whole numbers alone, on a screen of %d pixels a unit', async (dpr) => {
    for (const width of [390, 700, 1100]) {
      const page = await visit('/', { viewport: { width, height: 800 }, deviceScaleFactor: dpr })
      for (const flags of ['', '--count 2', '--count 3', '--count 4', '--size 96x128', '--size 128x96 --count 4']) {
        await draw(page, `a box ${flags.replaceAll('--', '')}`, flags)
      }
      await expect.poll(() => page.evaluate(LOADED), { timeout: WAIT_MS }).toBe(true)
      const scales = (await page.evaluate(SCALES)) as Scale[]
      expect(scales).toHaveLength(15)
      expect(
        scales.filter((scale) => !isFair(scale)),
        `${width}`,
      ).toEqual([])
      await pictures(page.locator('li.message').first()).click()
      await page.getByRole('dialog').waitFor()
      await expect.poll(() => page.evaluate(LOADED), { timeout: WAIT_MS }).toBe(true)
      const alone = (await page.evaluate(SCALES)) as Scale[]
      expect(
        alone.filter((scale) => !isFair(scale)),
        `${width}, alone`,
      ).toEqual([])
    }
  })

  it('asks for the password where others can reach it, and opens with it', async () => {
    const opened = await openHouse({ host: '0.0.0.0', password: 'open sesame' })
    try {
      const page = await open(phone)
      await page.goto(opened.playground.address)
      await page.getByLabel('Password').fill('open barley')
      await page.getByRole('button', { name: 'Log in' }).click()
      await page.getByText('That is not the password.').waitFor()
      expect(await page.evaluate(SMALL_TARGETS)).toEqual([])
      await page.getByLabel('Password').fill('open sesame')
      await page.keyboard.press('Enter')
      await page.getByText('draws with tiny').waitFor()
      await draw(page, 'a cave')
    } finally {
      await opened.clear()
    }
  })

  it('gives every control a name', async () => {
    const page = await visit()
    const said = await draw(page, 'a kite', '--count 2')
    await pictures(said).first().click()
    await page.getByRole('button', { name: 'Next picture' }).waitFor()
    const tree = await page.locator('body').ariaSnapshot()
    expect(tree).not.toMatch(/- (button|link|textbox|combobox|img|progressbar)(:|$)/mu)
  })
})
