import { describe, expect } from 'vitest'
import { Presenter } from '../../src/bot/presenter.ts'
import { drawn, type Garden, test } from './garden.ts'

describe.concurrent('what goes wrong on the way', () => {
  test('waits until Slack has looked at a picture', async ({ garden, alice }) => {
    garden.slack.api.polls = 3
    const message = await drawn(garden, alice, '/imagine a red apple')
    expect(garden.slack.calls('files.info')).toHaveLength(4)
    expect(message.pictures).toHaveLength(1)
  })

  test('shows the pictures after all when Slack refuses them at first, uploaded once', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    garden.slack.fails('chat.update', { error: 'invalid_blocks' })
    await garden.queue.finishes(garden.queue.latest.id)
    await message.until(({ pictures }) => pictures.length === 1)
    expect(garden.slack.workspace.files.size).toBe(1)
  })

  test('waits as long as Slack asks, while others are served', async ({ garden, alice, mallory }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    garden.slack.fails('chat.update', { status: 429, retryAfter: 1 })
    await garden.queue.finishes(garden.queue.latest.id)
    await mallory.types('/imagine a pear')
    await garden.slack.nextMessage()
    expect(message.buttons).toEqual(['Cancel'])
    await message.until(({ pictures }) => pictures.length === 1)
  })

  test('lets a message go that was deleted by somebody else', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    message.isDeleted = true
    const { id } = garden.queue.latest
    await garden.queue.finishes(id)
    await garden.queue.until(id, ({ answeredAt }) => answeredAt !== undefined)
    await alice.types('/imagine a pear')
    await garden.slack.nextMessage()
    expect(garden.slack.messages).toHaveLength(1)
  })

  test('answers after a restart in the message that stands already', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple')
    const message = await garden.slack.nextMessage()
    const { id } = garden.queue.latest
    await garden.queue.until(id, ({ place }) => place.message !== undefined)
    await garden.presenter.stop()
    const next = restarted(garden)
    await garden.queue.finishes(id)
    await message.until(({ pictures }) => pictures.length === 1)
    await next.stop()
  })

  test('posts a message after a restart where none stands, with the pictures', async ({ garden, alice }) => {
    await alice.types('/imagine a red apple', garden.slack.random)
    await alice.hears()
    const { deletedAt: _, ...lost } = garden.queue.latest
    await garden.presenter.stop()
    await garden.queue.add({ ...lost, state: 'running', place: { ...lost.place, channel: garden.slack.general.id } })
    await garden.queue.finishes(lost.id)
    const next = restarted(garden)
    next.resume(garden.queue.latest)
    expect((await garden.slack.nextMessage()).pictures).toHaveLength(1)
    await next.stop()
  })

  test('connects anew when Slack asks, without losing a command', async ({ garden, alice }) => {
    await garden.slack.refreshes()
    await alice.types('/imagine a red apple')
    expect((await garden.slack.nextMessage()).shown).toContain('a red apple')
  })
})

function restarted({ queue, bot }: Garden): Presenter {
  const presenter = new Presenter(queue, () => {})
  presenter.add(bot())
  return presenter
}
