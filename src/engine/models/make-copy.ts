/** A process that makes one optimised copy of a model, behind everything else that the machine does, and ends. */

import { constants, setPriority } from 'node:os'
import { env, InferenceSession } from 'onnxruntime-node'
import type { CopyOrder } from './optimised-copy.ts'

env.logLevel = 'fatal'
try {
  setPriority(constants.priority.PRIORITY_LOW)
} catch {
  // A sandbox may forbid it.
}
process.on('disconnect', () => process.exit(1))
process.once('message', async ({ bytes, options }: CopyOrder) => {
  // The session saves itself as it is made.
  await InferenceSession.create(bytes, options).then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
