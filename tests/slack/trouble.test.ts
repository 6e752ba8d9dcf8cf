import { describe, expect } from 'vitest'
import { Presenter } from '../../src/bot/presenter.ts'
import { newJobId } from '../../src/job/job.ts'
import { drawn, type Garden, test } from './garden.ts'

describe.concurrent('what goes wrong on the way', () => {
  test('Slack is slow, yet everything is acknowledged at once', async ({ garden, alice }) => {
    let release = () => {}
    const after = new Promise<void>((resolve) => {
      release = resolve
    })
    garden.slack.fails('chat.postMessage', { after })
    garden.slack.fails('views.open', { after })
    await alice.types('/imagine a red apple')
    await alice.types('/imagine')
    expect(garden.slack.messages).toEqual([])
    release()
    const message = await garden.slack.nextMessage()
    const form = await alice.seesForm()

    expect(await form.submits({ prompt: 'a pear' })).toEqual({})
    await garden.slack.nextMessage()
    await alice.clicks(message, 'Cancel')
    await message.until(({ shown }) => shown.includes('Cancelled'))
  })

  test('a picture that Slack has not looked at yet is waited for', async ({ garden, alice }) => {
    garden.slack.api.polls = 3
    const message = await drawn(garden, alice, '/imagine a red apple')
    expect(garden.slack.calls('files.info')).toHaveLength(4)
    expect(message.pictures).toHaveLength(1)
  })

  test('a picture that Slack refuses at first is shown after all, and uploaded once', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const call = await garden.call()
    garden.slack.fails('chat.update', { error: 'invalid_blocks' })
    call.finish()
    await message.until(({ pictures }) => pictures.length === 1)
    expect(garden.slack.workspace.files.size).toBe(1)
  })

  test('an answer waits as long as Slack asks', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const call = await garden.call()
    garden.slack.fails('chat.update', { status: 429, retryAfter: 1 })
    call.finish()
    await message.until(({ pictures }) => pictures.length === 1)
    expect(garden.slack.workspace.files.size).toBe(1)
  })

  test('progress past Slack’s limit is let go, and holds back nothing else', async ({ garden, alice, mallory }) => {
    garden.slack.fails('chat.update', { status: 429, retryAfter: 3600 })
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const call = await garden.call()
    call.step(1, 20)
    await garden.slack.workspace.until(
      () => garden.slack.calls('chat.update')[0],
      () => 'an edit',
    )
    await mallory.types('/imagine a pear')
    await garden.slack.nextMessage()
    call.finish()
    await message.until(({ pictures }) => pictures.length === 1)
    expect(message.drawn).toBe(2)
  })

  test('a message that somebody else deleted is let go', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    message.isDeleted = true
    ;(await garden.call()).finish()
    await garden.slack.workspace.until(
      () => garden.slack.calls('chat.update')[0],
      () => 'an edit',
    )
    await alice.types('/imagine a pear')
    await garden.slack.nextMessage()
    expect(garden.slack.messages).toHaveLength(1)
    expect(garden.log).toEqual([])
  })

  test('a restart answers in the message that stands already', async ({ soil, alice }) => {
    const bot = soil.bot()
    soil.presenter.add(bot)
    await bot.start()
    await alice.types('/imagine a red apple')
    const message = await soil.slack.nextMessage()
    // What was asked for is shown and recorded before a bot stops.
    await bot.stop()
    await soil.presenter.stop()
    const next = restarted(soil)
    ;(await soil.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    expect(soil.slack.messages).toHaveLength(1)
    await next.stop()
  })

  test('a restart posts a message where none stands, with the pictures', async ({ garden, alice }) => {
    const { request, author, place } = await garden.jobOf(await drawn(garden, alice, '/imagine a red apple'))
    await garden.presenter.stop()
    const { message: _, ...unplaced } = place
    const lost = { id: newJobId(), request, author, place: unplaced, state: 'queued', action: 'imagine' } as const
    const added = await garden.queue.add({ ...lost, createdAt: Date.now(), attempts: 0, pictures: [] })
    const next = restarted(garden)
    next.resume(added)
    const message = await garden.slack.nextMessage()
    ;(await garden.call()).finish()
    await message.until(({ pictures }) => pictures.length === 1)
    await next.stop()
  })

  test('no command is lost when Slack asks to connect anew', async ({ garden, alice }) => {
    await garden.slack.refreshes()
    await alice.types('/imagine a red apple')
    expect((await garden.slack.nextMessage()).shown).toContain('a red apple')
    await garden.slack.refreshes()
    await alice.types('/imagine a pear')
    expect((await garden.slack.nextMessage()).shown).toContain('a pear')
  })
})

function restarted(garden: Garden): Presenter {
  const presenter = new Presenter(garden.queue, garden.write)
  presenter.add(garden.bot())
  return presenter
}
