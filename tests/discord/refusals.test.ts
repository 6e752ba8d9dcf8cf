import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { temporaryFolder } from '../queue/jobs.ts'
import { allAnswered, jobIn, openDiscord, startBot } from './bot.ts'

describe('when Discord refuses for good', () => {
  it.each([
    [20009, /filter for explicit content refused this; ask for something else/],
    [200000, /AutoMod refused these words; ask with others/],
  ] as const)('%i: the message says why and what to do, once and for all', async (code, why) => {
    const [discord, dataDir] = [await openDiscord(), await temporaryFolder()]
    const bot = await startBot({ discord, dataDir })
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    const job = jobIn(message)
    await message.until(/Drawing/)
    discord.refuseMessages(({ content, files }) => (files.length > 0 || content.includes('apple') ? code : undefined))
    ;(await bot.engine.call(1)).finish()
    await message.until(why)
    expect(message.text).not.toContain('apple')
    expect([message.attachments, message.buttons]).toEqual([[], [['🗑']]])
    await allAnswered(bot)
    const lines = bot.log.filter((line) => line.includes(String(code)))
    expect(lines).toEqual([expect.stringContaining(job)])
    expect(lines.join()).not.toContain('apple')

    // Nor is it tried again after a start.
    await bot.stop()
    const edits = message.edits
    const after = await startBot({ discord, dataDir })
    await after.stop()
    expect(message.edits).toBe(edits)
  })

  it('goes on without previews where only these are refused', async () => {
    const { discord, engine, log } = await startBot()
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    discord.refuseMessages(({ files }) => (files.some(({ name }) => name === 'preview.png') ? 20009 : undefined))
    const call = await engine.call(1)
    call.step(5, 20, new Uint8Array([1]))
    await message.until(/Drawing · 25 %/)
    call.finish()
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(1)
    expect(log.filter((line) => line.includes('20009'))).toEqual([])
  })

  it('ends a job that nobody could see, and the next begins', async () => {
    const { discord, engine, log, jobs } = await startBot()
    const alice = discord.member('alice')
    const hidden = await alice.types('/imagine', { prompt: 'one' })
    const call = await engine.call(1)
    await alice.types('/imagine', { prompt: 'two' })
    discord.refuseMessages(({ path }) => (path.includes(hidden.id) ? 200000 : undefined))
    call.step(5, 20)
    expect((await engine.call(2)).request.prompt).toBe('two')
    expect(call.signal!.aborted).toBe(true)
    await expect.poll(async () => (await jobs.unanswered()).length, { timeout: 25_000 }).toBe(1)
    expect(log.filter((line) => line.includes('200000'))).toHaveLength(1)
  })

  it.each(['message', 'channel'])('a %s that was deleted under way ends the job at the next step', async (what) => {
    const { discord, engine, jobs, log } = await startBot()
    const channel = discord.newChannel('guild')
    const alice = discord.member('alice')
    const message = await alice.in(channel).types('/imagine', { prompt: 'one' })
    const call = await engine.call(1)
    await alice.types('/imagine', { prompt: 'two' })
    if (what === 'message') message.delete()
    else channel.deleted = true
    call.step(5, 20)
    expect((await engine.call(2)).request.prompt).toBe('two')
    expect(call.signal!.aborted).toBe(true)
    expect((await jobs.get(jobIn(message)))!.state).toBe('cancelled')
    expect(log.slice(1)).toEqual([])
  })
})

describe('where edits help no more', () => {
  it('posts the result anew in an archived thread, which opens it again, and removes the old message', async () => {
    const { discord, engine, jobs } = await startBot()
    const thread = discord.newChannel('thread')
    const message = await discord.member('alice').in(thread).types('/imagine', { prompt: 'a red apple' })
    const call = await engine.call(1)
    thread.isArchived = true
    call.step(5, 20)
    call.finish()
    const anew = await discord.message(2)
    await anew.until(/Imagine · /)
    await message.until(({ deleted }) => deleted)
    expect(anew.attachments).toHaveLength(1)
    expect(thread.isArchived).toBe(false)
    await allAnswered({ jobs })
    expect((await jobs.get(jobIn(anew)))!.place.message).toBe(anew.id)
  })

  it('says in the log that a thread is locked, and ends', async () => {
    const { discord, engine, jobs, log } = await startBot()
    const thread = discord.newChannel('thread')
    await discord.member('alice').in(thread).types('/imagine', { prompt: 'a red apple' })
    thread.isArchived = true
    thread.isLocked = true
    ;(await engine.call(1)).finish()
    await allAnswered({ jobs })
    expect(log.filter((line) => line.includes('50083'))).toHaveLength(1)
  })

  it('posts the result anew when Discord takes no more edits of an old message', async () => {
    const { discord, engine } = await startBot()
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    discord.refuseMessages(({ method, path }) => (method === 'PATCH' && path.includes(message.id) ? 30046 : undefined))
    const call = await engine.call(1)
    call.step(5, 20)
    call.finish()
    const anew = await discord.message(2)
    await anew.until(/Imagine · /)
    await message.until(({ deleted }) => deleted)
  })

  it('posts the result anew after an hour without trying', async () => {
    const { discord, engine } = await startBot()
    const message = await discord.member('alice').types('/imagine', { prompt: 'a red apple' })
    await message.until(/Drawing/)
    const { edits } = message
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_700_000 })
    onTestFinished(() => void vi.useRealTimers())
    const call = await engine.call(1)
    call.step(5, 20)
    call.finish()
    await (await discord.message(2)).until(/Imagine · /)
    await message.until(({ deleted }) => deleted)
    expect(message.edits).toBe(edits)
  })

  it('posts once though the answer to the post is lost', async () => {
    const { discord, engine } = await startBot()
    discord.missInteractions()
    discord
      .member('alice')
      .types('/imagine', { prompt: 'a red apple' })
      .catch(() => {})
    discord.loseNextAnswer()
    const message = await discord.message(1)
    ;(await engine.call(1)).finish()
    await message.until(/Imagine · /)
    expect(discord.messages).toEqual([message])
  })
})
