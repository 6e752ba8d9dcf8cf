/**
 * Told to Node with NODE_OPTIONS=--import, this watches the event loop of the program from inside, without a line in it:
 * whoever started the program with an IPC channel sends `start` and later `report`, and hears how long the loop was held.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks'

// The engine inherits the option; its loop is held by design.
if (process.argv[1]?.endsWith('cli.js') && process.send) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  process.on('message', (order) => {
    if (order === 'start') {
      delay.reset()
      delay.enable()
    }
    if (order === 'report') process.send({ p99: delay.percentile(99) / 1e6, max: delay.max / 1e6, count: delay.count })
  })
  // The program must end as it would without a listener.
  process.channel.unref()
}
