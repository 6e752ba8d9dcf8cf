/** How often messages may show progress: one after another in each channel, so that edits never pile up before an answer. */

import PQueue from 'p-queue'
import type { Job } from '../job/job.ts'

export class Pace {
  readonly #queues = new Map<string, PQueue>()

  /**
   * Draws when it is this job's turn. Jobs that run and jobs that wait take turns among themselves, so that fifty places in
   * line do not hold up one picture.
   * @param intervalMs between two turns of running jobs; those that wait change less, and take turns half as often
   * @param signal gives up waiting; it must not be aborted any more when `draw` has begun
   * @throws the signal's reason, or what `draw` throws
   */
  inTurn<T>({ place, state }: Job, intervalMs: number, signal: AbortSignal, draw: () => Promise<T>): Promise<T> {
    const running = state === 'running'
    const queue = this.#queue(`${place.platform} ${place.channel} ${running}`, running ? intervalMs : 2 * intervalMs)
    return queue.add(draw, { signal })
  }

  #queue(name: string, interval: number): PQueue {
    const known = this.#queues.get(name)
    if (known) return known
    const queue = new PQueue({ concurrency: 1, intervalCap: 1, interval })
    this.#queues.set(name, queue)
    queue.on('idle', () => this.#dropLater(name, queue, interval))
    return queue
  }

  /** An idle channel is forgotten when its last turn has nothing left to count. */
  #dropLater(name: string, queue: PQueue, interval: number): void {
    setTimeout(() => {
      if (queue.size + queue.pending === 0) this.#queues.delete(name)
    }, interval).unref()
  }
}
