import { expect, it, vi } from 'vitest'
import { openError } from '../../src/engine/devices/session-error.ts'
import { type LoadProgress, StableDiffusionPipeline } from '../../src/engine/index.ts'
import { ON_CPU, tinyPipeline } from './tiny-pipeline.ts'

/** A device that ONNX Runtime has on other platforms alone: here it stands for one that seems to be there and then fails. */
const FAILS = process.platform === 'win32' ? 'coreml' : 'dml'

vi.mock('../../src/engine/devices/device.ts', async (original) => ({
  ...(await original<typeof import('../../src/engine/devices/device.ts')>()),
  candidates: () => [FAILS, 'cpu'],
  bestDevice: () => FAILS,
  unavailable: () => undefined,
}))

it("'auto' leaves a device that fails for the CPU, aloud, at the start and later", async () => {
  const told: LoadProgress[] = []
  const { sessionOptions } = ON_CPU
  const options = { device: 'auto', sessionOptions, onProgress: (one: LoadProgress) => told.push(one) } as const
  const pipe = await StableDiffusionPipeline.fromPretrained(tinyPipeline('tiny-sd1'), options)
  const reason = expect.stringMatching(
    `^Not using ${FAILS}: The device '${FAILS}' cannot be used here: use device 'cpu'`,
  )
  expect(told).toContainEqual({ status: 'notice', message: reason })
  expect(told).toContainEqual({ status: 'device', device: 'cpu', reasons: [reason] })

  const warning = vi.spyOn(process, 'emitWarning').mockReturnValue()
  expect((await pipe.to('auto')).device).toBe('cpu')
  expect(warning).toHaveBeenCalledWith(reason)
  await expect(pipe.to(FAILS)).rejects.toMatchObject({ code: 'device' })
  expect(await pipe.generate({ prompt: 'a cat', numInferenceSteps: 1 })).toMatchObject({ images: [expect.any(Buffer)] })
})

it('names what CUDA lacks', () => {
  const words = (message: string) => openError(new Error(message), 'unet', 'model.onnx', 'cuda').message
  expect(
    words(
      'Failed to load shared library: /a/libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared' +
        ' object file: No such file or directory',
    ),
  ).toMatch(/'cuda' cannot be used here \(libcudnn\.so\.9 is missing\): fetch its library/)
  expect(
    words('cuda_call.cc:129 CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=box'),
  ).toMatch(/'cuda' cannot be used here \(no CUDA-capable device is detected\): /)
})
