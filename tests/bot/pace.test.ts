import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Budget } from '../../src/bot/budget.ts'
import { IMPORTANCE, type Importance, Pace } from '../../src/bot/pace.ts'

const { start, position, preview } = IMPORTANCE

// Time is led by hand, so that turns can be counted.
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** Messages that ask for the next turn whenever they had one. */
function keenOn(pace: Pace) {
  const turns: string[] = []
  let isOver = false
  const follow = async (channel: string, importance: Importance = preview) => {
    const draw = async () => void (isOver || turns.push(channel))
    while (!isOver) await pace.inTurn(channel, () => importance, new AbortController().signal, draw)
  }
  const stop = () => {
    isOver = true
  }
  return { turns, follow, stop }
}

describe('turns', () => {
  it('come once an interval in a channel, however it was used before', async () => {
    const pace = new Pace(2000)
    const { turns, follow, stop } = keenOn(pace)
    // A channel that falls idle and is used again: nothing of its first idle time counts later.
    await pace.inTurn(
      'a',
      () => preview,
      new AbortController().signal,
      async () => {},
    )
    await vi.advanceTimersByTimeAsync(1500)
    void follow('a')
    await vi.advanceTimersByTimeAsync(24_000)
    stop()
    expect(turns).toHaveLength(12)
  })

  it('of one channel do not hold up another', async () => {
    const { turns, follow, stop } = keenOn(new Pace(2000))
    void follow('a')
    void follow('b')
    await vi.advanceTimersByTimeAsync(10_000)
    stop()
    expect(turns.filter((channel) => channel === 'a')).toHaveLength(6)
    expect(turns.filter((channel) => channel === 'b')).toHaveLength(6)
  })

  it('all together stay within the platform’s budget, answers counted in', async () => {
    const budget = new Budget(10, 1000)
    const pace = new Pace(100, budget)
    const { turns, follow, stop } = keenOn(pace)
    for (let answer = 0; answer < 5; answer++) await pace.outOfTurn('answers', async () => {})
    for (let channel = 0; channel < 50; channel++) void follow(String(channel))
    await vi.advanceTimersByTimeAsync(9999)
    stop()
    expect(turns.length).toBe(100 - 5)
    expect(new Set(turns).size).toBeGreaterThanOrEqual(50)
  })

  it('go to what has begun, then to places in line, then to previews', async () => {
    const pace = new Pace(1000)
    const order: string[] = []
    const ask = (name: string, importance: Importance) =>
      pace.inTurn(
        'a',
        () => importance,
        new AbortController().signal,
        async () => void order.push(name),
      )
    await ask('first', preview)
    void ask('preview', preview)
    void ask('position', position)
    void ask('start', start)
    await vi.advanceTimersByTimeAsync(5000)
    expect(order).toEqual(['first', 'start', 'position', 'preview'])
  })

  it('wait as long as the platform’s headers say, each channel for its own', async () => {
    const budget = new Budget(100, 1000)
    const { turns, follow, stop } = keenOn(new Pace(1000, budget))
    budget.hold(5000, 'a')
    void follow('a')
    void follow('b')
    await vi.advanceTimersByTimeAsync(4500)
    expect(turns).toEqual(['b', 'b', 'b', 'b', 'b'])
    budget.hold(10_000)
    await vi.advanceTimersByTimeAsync(9000)
    expect(turns).toHaveLength(5)
    await vi.advanceTimersByTimeAsync(1500)
    expect(turns).toContain('a')
    stop()
  })

  it('are one after another: a slow draw holds up its channel alone', async () => {
    const pace = new Pace(10)
    const { turns, follow, stop } = keenOn(pace)
    let done = () => {}
    const slow = new Promise<void>((resolve) => {
      done = resolve
    })
    void pace.inTurn(
      'a',
      () => preview,
      new AbortController().signal,
      () => slow,
    )
    void follow('a')
    void follow('b')
    await vi.advanceTimersByTimeAsync(100)
    expect(turns).not.toContain('a')
    expect(turns).toContain('b')
    done()
    await vi.advanceTimersByTimeAsync(100)
    expect(turns).toContain('a')
    stop()
  })
})
