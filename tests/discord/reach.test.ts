import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../queue/jobs.ts'
import { allAnswered, jobIn, openDiscord, startBot } from './bot.ts'

const MINUTE = 60_000

describe.each(['group', 'foreign'] as const)('where the bot is no member (%s)', (kind) => {
  it('goes on by the interaction’s token after a restart', async () => {
    const [discord, dataDir] = [await openDiscord(), await temporaryFolder()]
    const before = await startBot({ discord, dataDir })
    const message = await discord.member('alice').in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    await before.engine.call(1)
    await before.stop()
    const { engine, jobs } = await startBot({ discord, dataDir })
    ;(await engine.call(1)).finish()
    await message.until(/Imagine · /)
    await allAnswered({ jobs })
    // A token that is needed no more is kept no longer.
    expect((await jobs.get(jobIn(message)))!.place.reply).toBeUndefined()
  })

  it('says before the token ends how to fetch the result, which a click then brings', async () => {
    const { discord, engine, jobs } = await startBot()
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    discord.ageInteractions(14 * MINUTE)
    const message = await alice.in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    discord.ageInteractions(0)
    await message.until(/a quarter of an hour only; then “Show result”, or \/show [0-9a-f]{16}, brings/)
    discord.expireTokens()
    const frozen = message.text
    ;(await engine.call(1)).finish()
    await allAnswered({ jobs })
    expect(message.text).toBe(frozen)
    await bob.clicks(message, 'Show result')
    await message.until(/Imagine · /)
    expect(message.attachments).toHaveLength(1)
    expect(bob.told).toEqual([])
  })

  it('follows a job again once a click brought a new token', async () => {
    const { discord, engine } = await startBot()
    discord.ageInteractions(14 * MINUTE)
    const alice = discord.member('alice')
    const message = await alice.in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    discord.ageInteractions(0)
    await message.until(/Show result/)
    discord.expireTokens()
    const call = await engine.call(1)
    call.step(5, 20)
    await alice.clicks(message, 'Show result')
    await message.until(({ text }) => /Drawing/.test(text) && !/Show result/.test(text))
    call.finish()
    await message.until(/Imagine · /)
  })

  it('any button on what stayed behind draws it as it is', async () => {
    const { discord, engine, jobs } = await startBot()
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const message = await alice.in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    discord.expireTokens()
    ;(await engine.call(1)).finish()
    await allAnswered({ jobs })
    expect(message.buttons).toEqual([['Cancel']])
    await bob.clicks(message, 'Cancel')
    await message.until(/Imagine · /)
    expect(bob.told).toEqual([])
  })

  it('Cancel, pressed by whomever, brings a new way to what stayed behind', async () => {
    const { discord, engine } = await startBot()
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const message = await alice.in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    const call = await engine.call(1)
    discord.expireTokens()
    call.step(5, 20)
    await bob.clicks(message, 'Cancel')
    await message.until(/Drawing · 25 %/)
    await bob.hears(/Only alice can cancel this/)
    discord.expireTokens()
    await alice.clicks(message, 'Cancel')
    await message.until(/Cancelled/)
  })

  it('🗑 removes the picture, by the click’s own token', async () => {
    const { discord, engine, pictures, log } = await startBot()
    engine.free = true
    const [alice, bob] = [discord.member('alice'), discord.member('bob')]
    const message = await alice.in(discord.newChannel(kind)).types('/imagine', { prompt: 'an apple' })
    await message.until(/Imagine · /)
    discord.expireTokens()
    await bob.clicks(message, '🗑')
    expect([bob.told, message.deleted]).toEqual([['Only alice can delete this.'], false])
    await alice.clicks(message, '🗑')
    await message.until(({ deleted }) => deleted)
    expect(await pictures.has(jobIn(message))).toBe(false)
    expect(log.slice(1)).toEqual([])
  })

  it('a copy of what was deleted is removed by whoever clicks it', async () => {
    const { discord, engine } = await startBot()
    engine.free = true
    const channel = discord.newChannel(kind)
    const [alice, bob] = [discord.member('alice').in(channel), discord.member('bob').in(channel)]
    const message = await alice.types('/imagine', { prompt: 'an apple' })
    await message.until(/Imagine · /)
    const copy = await alice.types('/show', { job: jobIn(message) })
    await copy.until(({ attachments }) => attachments.length === 1)
    await alice.clicks(message, '🗑')
    await message.until(({ deleted }) => deleted)
    await bob.clicks(copy, 'V1')
    await copy.until(({ deleted }) => deleted)
    await bob.hears(/no longer there/)
  })
})

describe('/show', () => {
  it('takes a job’s number in every form in which people have it', async () => {
    const { discord, engine } = await startBot()
    engine.free = true
    const alice = discord.member('alice')
    const message = await alice.types('/imagine', { prompt: 'an apple' })
    await message.until(/Imagine · /)
    const job = jobIn(message)
    const link = `https://discord.com/channels/${discord.guildId}/${message.channel}/${message.id}`
    for (const form of [job.toUpperCase(), `#${job}`, `seedling-${job}-1.png`, `job ${job}`, link, `\`${job}\``]) {
      const shown = await alice.types('/show', { job: form.slice(0, 100) })
      await shown.until(({ attachments }) => attachments.length === 1)
      expect(shown.text).toBe(message.text)
    }
    await alice.types('/show', { job: link.replace(message.id, discord.channel.id) })
    await alice.types('/show', { job: 'the last one' })
    expect(alice.told).toEqual([
      'No job of Seedling can be found in that message; use the number that stands under its pictures.',
      'job is “the last one”; it must be the number under its pictures, or a link to its message.',
    ])
  })
})
