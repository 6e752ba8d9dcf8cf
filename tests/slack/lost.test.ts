import { describe, expect } from 'vitest'
import { allAnswered, drawn, type Garden, started, test } from './garden.ts'

describe.concurrent('a message whose answer was lost', () => {
  test('is found by its metadata, and stands alone', async ({ garden, alice }) => {
    garden.slack.fails('chat.postMessage', { lost: true })
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    ;(await garden.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    await allAnswered(garden)
    expect(garden.slack.messages).toEqual([message])
    expect(message.content.metadata).toMatchObject({ event_payload: { job: (await garden.jobOf(message)).id } })
  })

  test('is found after a kill, behind others', async ({ soil, alice, mallory }) => {
    const bot = await started(soil)
    // The answer never comes, and so it is never recorded: as a kill leaves it.
    soil.slack.fails('chat.postMessage', { lost: true, after: new Promise(() => {}) })
    await alice.types('/imagine a red apple')
    const orphan = await soil.slack.nextMessage()
    await mallory.types('/imagine a pear')
    await soil.slack.nextMessage()
    await soil.presenter.stop()
    await bot.stop()

    const next = soil.nextPresenter()
    const again = soil.bot({}, next)
    next.add(again)
    await again.start()
    for (const job of soil.queue.unfinished()) next.resume(job)
    ;(await soil.call()).finish()
    await orphan.until(({ pictures }) => pictures.length === 1)
    expect(soil.slack.messages).toHaveLength(2)
    await next.stop()
    await again.stop()
  })

  test('is posted again where Slack does not let the app look back, and a click removes the first', async ({
    soil,
    alice,
  }) => {
    soil.slack.grants('commands', 'chat:write', 'files:read', 'files:write')
    const bot = await started(soil)
    expect(soil.log.join()).toMatch(/without channels:history, .* a message may stand twice after a crash; .*manifest/)
    soil.slack.fails('chat.postMessage', { lost: true })
    await alice.types('/imagine a red apple')
    const orphan = await soil.slack.nextMessage()
    const message = await soil.slack.nextMessage()
    ;(await soil.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    await alice.clicks(orphan, 'Cancel')
    await orphan.until(({ isDeleted }) => isDeleted)
    expect(message.isDeleted).toBe(false)
    await bot.stop()
  })
})

describe('pictures that were uploaded before a kill', () => {
  test('are waited for and shown, and not uploaded again', async ({ soil, alice }) => {
    const bot = await started(soil)
    await alice.types('/imagine a red apple')
    const message = await soil.slack.nextMessage()
    soil.slack.fails('files.info', { after: new Promise(() => {}) })
    ;(await soil.call()).finish()
    await soil.slack.workspace.until(
      () => soil.slack.calls('files.info')[0],
      () => 'a look at the file',
    )
    await soil.presenter.stop()
    await bot.stop()

    const next = soil.nextPresenter()
    const again = soil.bot({}, next)
    next.add(again)
    await again.start()
    for (const job of await soil.jobs.unanswered()) next.resume(job)
    await message.until(({ pictures }) => pictures.length === 1)
    expect(soil.slack.workspace.files.size).toBe(1)
    await next.stop()
    await again.stop()
  })
})

describe.concurrent('a message that says what is no longer so', () => {
  test('is drawn as it is when anybody clicks it, by the click’s own address', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const call = await garden.call()
    garden.slack.fails('chat.update', ...Array.from({ length: 3 }, () => ({ error: 'ekm_access_denied' })))
    call.finish()
    await allAnswered(garden)
    expect(message.buttons).toEqual(['Cancel'])
    await mallory.clicks(message, 'Cancel')
    await message.until(({ buttons }) => buttons.includes('🔄'))
  })

  test('of a deleted job is removed when anybody clicks it', async ({ garden, alice, mallory }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    const { id } = await garden.jobOf(message)
    await mallory.types(`/imagine show ${id}`)
    const copy = await mallory.hears()
    await alice.clicks(message, '🗑')
    await message.until(({ isDeleted }) => isDeleted)
    await mallory.clicks(copy, 'V1')
    await copy.until(({ isDeleted }) => isDeleted)
    expect((await mallory.hears()).shown).toContain('no longer there')
  })

  test('goes with its picture by the click of its author where the bot may not remove it', async ({
    garden,
    alice,
  }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    const [file] = message.pictures
    garden.slack.fails('chat.delete', { error: 'restricted_action' })
    await alice.clicks(message, '🗑')
    await message.until(({ isDeleted }) => isDeleted && file!.isDeleted)
    await garden.logged(/restricted_action/)
  })
})

describe.concurrent('an acknowledgement', () => {
  test('waits for the store, so that a kill loses nothing without a word', async ({ garden, alice, mallory }) => {
    const { storing, open } = slowStore(garden)
    let isAcknowledged = false
    const typing = alice.types('/imagine a red apple').then(() => {
      isAcknowledged = true
    })
    await storing
    await mallory.types('/imagine help')
    expect(isAcknowledged).toBe(false)
    open()
    await typing
    await garden.slack.nextMessage()
  })

  test('comes in time though the store is slow, with a word', async ({ garden, alice }) => {
    const { open } = slowStore(garden)
    await alice.types('/imagine a red apple')
    expect(garden.slack.messages).toEqual([])
    expect((await alice.hears()).shown).toContain('Seedling is slow just now')
    open()
    await garden.slack.nextMessage()
  })
})

describe('an event that was stored but not acknowledged before a kill', () => {
  test('draws once when Slack delivers it again', async ({ soil, alice }) => {
    const bot = await started(soil)
    await alice.types('/imagine a red apple')
    const message = await soil.slack.nextMessage()
    await bot.stop()
    await soil.presenter.stop()

    const next = soil.nextPresenter()
    const again = soil.bot({}, next)
    next.add(again)
    await again.start()
    for (const job of soil.queue.unfinished()) next.resume(job)
    await alice.typesAgain()
    ;(await soil.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    expect(soil.slack.messages).toEqual([message])
    expect(soil.queue.unfinished()).toEqual([])
    await next.stop()
    await again.stop()
  })
})

describe.concurrent('words', () => {
  test('help and the queue are shown, in any case, and no pictures of them', async ({ garden, alice, mallory }) => {
    for (const word of ['Help', '?', 'HELP']) {
      await alice.types(`/imagine ${word}`)
      expect((await alice.hears()).shown).toContain('--seed')
    }
    await alice.types('/imagine queue')
    expect((await alice.hears()).shown).toContain('Nothing is waiting here')
    await mallory.types('/imagine a secret pear')
    await garden.slack.nextMessage()
    await garden.call()
    await alice.types('/imagine an apple')
    await garden.slack.nextMessage()
    await alice.types('/imagine Queue')
    const { shown } = await alice.hears()
    expect(shown).toMatch(/^2 jobs are waiting or being drawn here\.\nYours:\n[0-9a-f]{16}: Queued · next in line/)
    expect(shown).not.toContain('pear')
    expect(garden.slack.messages).toHaveLength(2)
  })

  test('show takes a job’s number in every form', async ({ garden, alice }) => {
    const message = await drawn(garden, alice, '/imagine a red apple')
    const { id } = await garden.jobOf(message)
    const link = `https://garden.slack.com/archives/${message.channel.id}/p${message.ts.replace('.', '')}`
    for (const form of [id.toUpperCase(), `#${id}`, `seedling-${id}-1.png`, link]) {
      await alice.types(`/imagine Show ${form}`)
      expect((await alice.hears()).pictures).toHaveLength(1)
    }
    await alice.types(`/imagine show ${link.slice(0, -6)}999999`)
    expect((await alice.hears()).shown).toContain('No job of Seedling can be found in that message')
  })
})

/** Nothing is stored until it is opened; `storing` resolves when something waits for that. */
function slowStore({ jobs }: Garden): { storing: Promise<void>; open: () => void } {
  const put = jobs.put.bind(jobs)
  let [open, began] = [() => {}, () => {}]
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const storing = new Promise<void>((resolve) => {
    began = resolve
  })
  jobs.put = async (job) => {
    began()
    await gate
    return put(job)
  }
  return { storing, open }
}
