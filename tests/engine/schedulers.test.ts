/** Every scheduler against latents that diffusers computed, step by step, and what they refuse. */

import { describe, expect, it } from 'vitest'
import { EngineError } from '../../src/engine/errors.ts'
import { Generator } from '../../src/engine/random/generator.ts'
import {
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  LCMScheduler,
  PNDMScheduler,
  SCHEDULERS,
  schedulerFromConfig,
  TCDScheduler,
  UniPCMultistepScheduler,
} from '../../src/engine/schedulers/index.ts'
import type { Scheduler, SchedulerConfig, SetTimestepsOptions } from '../../src/engine/schedulers/scheduler.ts'
import type { Tensor } from '../../src/engine/tensor.ts'
import goldens from '../golden/schedulers.json' with { type: 'json' }
import moreGoldens from '../golden/schedulers-more.json' with { type: 'json' }

/** The stand-in for a UNet that the golden files were made with. */
function model({ data, dims }: Tensor, timestep: number): Tensor {
  const scale = 0.3 + (0.6 * timestep) / 1000
  return { data: data.map((x) => scale * Math.tanh(0.7 * x + 0.1)), dims }
}

/** Largest difference, as a part of the expected numbers' largest magnitude. */
function relativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual).toHaveLength(expected.length)
  const magnitude = Math.max(...expected.map(Math.abs), 1e-3)
  return Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / magnitude
}

describe('samplings by diffusers 0.40', () => {
  it.each(Object.entries(goldens))('%s', (_name, golden) => {
    const scheduler = schedulerFromConfig({ ...golden.config, _class_name: golden.cls })
    scheduler.setTimesteps(golden.steps)
    expect(relativeError(scheduler.timesteps, golden.timesteps)).toBeLessThan(1e-6)
    expect(relativeError([scheduler.initNoiseSigma], [golden.init_noise_sigma])).toBeLessThan(1e-6)

    const generator = new Generator(42)
    let sample: Tensor = { data: Float32Array.from(golden.first_sample), dims: [1, 1, 4, 4] }
    for (const [i, t] of scheduler.timesteps.entries()) {
      const output = model(scheduler.scaleModelInput(sample, t), t)
      sample = scheduler.step(output, t, sample, { generator }).prevSample
      expect(relativeError(sample.data, golden.outputs[i]!)).toBeLessThan(1e-5)
    }
  })
})

interface Golden {
  cls: string
  config: SchedulerConfig
  steps: number
  begin: number
  options?: SetTimestepsOptions
  eta?: number
  timesteps: number[]
  init_noise_sigma: number
  samples: number[][]
}

const DIMS = [2, 1, 2, 4]
const IMAGE: Tensor = { data: Float32Array.from({ length: 16 }, (_, i) => -1 + (2 * i) / 15), dims: DIMS }

/** As `make_scheduler_goldens.py` runs a case: text-to-image, or image-to-image from a later step. */
function run(scheduler: Scheduler, { begin, eta }: Golden): Tensor[] {
  const generator = new Generator(11)
  const timesteps = scheduler.timesteps.slice(begin * scheduler.order)
  if (begin > 0) scheduler.setBeginIndex(begin * scheduler.order)
  const noise = generator.randn(DIMS)
  let sample =
    begin > 0
      ? scheduler.addNoise(IMAGE, noise, timesteps[0]!)
      : { data: noise.data.map((x) => x * scheduler.initNoiseSigma), dims: DIMS }
  const samples: Tensor[] = []
  for (const [i, t] of timesteps.entries()) {
    const output = model(scheduler.scaleModelInput(sample, t), t)
    const options = eta === undefined ? { generator } : { generator, eta }
    sample = scheduler.step(output, t, sample, options).prevSample
    if ([0, Math.floor(timesteps.length / 2), timesteps.length - 1].includes(i)) samples.push(sample)
    // Inpainting noises the original to the step that is due.
    if (begin > 0 && i === 0 && timesteps.length > 1) samples.push(scheduler.addNoise(IMAGE, noise, timesteps[1]!))
  }
  return samples
}

describe('samplings by diffusers 0.42, over what the configs allow', () => {
  const cases = (moreGoldens as unknown as Golden[]).map((golden, i) => [`${golden.cls} ${i}`, golden] as const)

  it.each(cases)('%s', (_name, golden) => {
    const scheduler = schedulerFromConfig({ ...golden.config, _class_name: golden.cls })
    scheduler.setTimesteps(golden.steps, golden.options)
    const timesteps = scheduler.timesteps.slice(golden.begin * scheduler.order)
    expect(relativeError(timesteps, golden.timesteps)).toBeLessThan(1e-6)
    expect(relativeError([scheduler.initNoiseSigma], [golden.init_noise_sigma])).toBeLessThan(1e-6)

    const samples = run(scheduler, golden)
    expect(samples).toHaveLength(golden.samples.length)
    for (const [i, { data }] of samples.entries()) expect(relativeError(data, golden.samples[i]!)).toBeLessThan(1e-5)
  })

  it('covers every class', () => {
    expect(new Set(cases.map(([, { cls }]) => cls))).toEqual(new Set(SCHEDULERS.map(({ name }) => name)))
  })
})

describe('a batch', () => {
  it.each(SCHEDULERS.map((scheduler) => [scheduler.name, scheduler] as const))(
    'gives each row of %s what it gets alone',
    (_name, schedulerClass) => {
      const sampled = (seeds: number[]): Float32Array => {
        const scheduler = schedulerClass.fromConfig({})
        scheduler.setTimesteps(5)
        const generator = seeds.map((seed) => new Generator(seed))
        let sample: Tensor = { data: new Float32Array(seeds.length * 16).fill(0.5), dims: [seeds.length, 1, 4, 4] }
        for (const t of scheduler.timesteps) {
          const output = model(scheduler.scaleModelInput(sample, t), t)
          sample = scheduler.step(output, t, sample, { generator, eta: 0.5 }).prevSample
        }
        return sample.data
      }
      const together = sampled([1, 2])
      expect(together.subarray(0, 16)).toEqual(sampled([1]))
      expect(together.subarray(16)).toEqual(sampled([2]))
    },
  )
})

describe('fromConfig', () => {
  const pndm = PNDMScheduler.fromConfig({ beta_schedule: 'scaled_linear', skip_prk_steps: true, steps_offset: 1 })

  it('keeps what another class was given, not what it defaulted to', () => {
    const { config } = EulerDiscreteScheduler.fromConfig(pndm.config)
    expect(config).toMatchObject({
      _class_name: 'EulerDiscreteScheduler',
      beta_schedule: 'scaled_linear',
      steps_offset: 1,
      timestep_spacing: 'linspace',
    })
    expect(config).not.toHaveProperty('set_alpha_to_one')
  })

  it('carries keys that a class does not know, unread, on to one that does', () => {
    const euler = EulerDiscreteScheduler.fromConfig({ ...pndm.config, use_karras_sigmas: true, made_up: 'kept' })
    const ancestral = EulerAncestralDiscreteScheduler.fromConfig(euler.config)
    ancestral.setTimesteps(3)
    expect(ancestral.timesteps).toEqual([999, 499.5, 0])
    expect(ancestral.config).toMatchObject({ use_karras_sigmas: true, made_up: 'kept' })
    expect(PNDMScheduler.fromConfig(ancestral.config).config).toMatchObject({ skip_prk_steps: true })
  })

  it('keeps every key of the JSON and of the class', () => {
    const given = { _diffusers_version: '0.6.0', clip_sample: null, variance_type: null, made_up: null }
    const { config } = TCDScheduler.fromConfig(given)
    expect(config).toMatchObject({ ...given, thresholding: false, timestep_scaling: 10 })
    expect(config._use_default_values).not.toContain('clip_sample')
    expect(UniPCMultistepScheduler.fromConfig(config).config).toMatchObject({ ...given, solver_p: null, flow_shift: 1 })
  })

  it('takes null for off where a key is a switch, and else for the default', () => {
    const ddpm = DDPMScheduler.fromConfig({ trained_betas: null, clip_sample: null, variance_type: null })
    ddpm.setTimesteps(1)
    const sample: Tensor = { data: new Float32Array(16).fill(9), dims: [1, 1, 4, 4] }
    expect(ddpm.step(sample, 0, sample).prevSample.data[0]).toBeGreaterThan(8)
  })

  it('translates the names of related solvers', () => {
    const deis = DEISMultistepScheduler.fromConfig({ algorithm_type: 'dpmsolver++', solver_type: 'heun' })
    expect(deis.config).toMatchObject({ algorithm_type: 'deis', solver_type: 'logrho' })
    const dpm = DPMSolverMultistepScheduler.fromConfig({ algorithm_type: 'deis', solver_type: 'bh2' })
    expect(dpm.config).toMatchObject({ algorithm_type: 'dpmsolver++', solver_type: 'midpoint' })
    expect(UniPCMultistepScheduler.fromConfig({ solver_type: 'midpoint' }).config.solver_type).toBe('bh2')
  })

  it('refuses a class that is not there, and names those that are', () => {
    const refused = () => schedulerFromConfig({ _class_name: 'FlowMatchEulerDiscreteScheduler' })
    expect(refused).toThrow(/"FlowMatchEulerDiscreteScheduler".*DDIMScheduler.*UniPCMultistepScheduler/)
    expect(refused).toThrow(expect.objectContaining({ code: 'model' }))
  })
})

describe('what a scheduler refuses', () => {
  const refusals: [what: string, act: () => unknown, message: RegExp][] = [
    ['an unknown beta_schedule', () => new DDIMScheduler({ beta_schedule: 'cosine' }), /"squaredcos_cap_v2"/],
    ['an unknown prediction_type', () => new DDIMScheduler({ prediction_type: 'flow' }), /"v_prediction"/],
    ['a prediction_type that PNDM lacks', () => new PNDMScheduler({ prediction_type: 'sample' }), /"epsilon"/],
    ['an unknown timestep_spacing', () => new EulerDiscreteScheduler({ timestep_spacing: 'even' }), /"trailing"/],
    ['a key of another type', () => new DDIMScheduler({ beta_start: 'small' }), /beta_start.*number/],
    ['a list that is none', () => new UniPCMultistepScheduler({ disable_corrector: {} }), /disable_corrector.*list/],
    ['a schedule without betas', () => new DDIMScheduler({ trained_betas: [] }), /betas/],
    ['flow matching', () => new UniPCMultistepScheduler({ use_flow_sigmas: true }), /flow/],
    ['betas that are no numbers', () => new DDIMScheduler({ trained_betas: ['a'] }), /betas/],
    ['an endless schedule', () => new DDIMScheduler({ num_train_timesteps: 1e12 }), /num_train_timesteps/],
    [
      'two rules for sigmas',
      () => new EulerDiscreteScheduler({ use_karras_sigmas: true, use_beta_sigmas: true }),
      /only one/,
    ],
    ['learned variance', () => new DDPMScheduler({ variance_type: 'learned' }), /"fixed_small"/],
    ['order 4', () => new UniPCMultistepScheduler({ solver_order: 4 }), /solver_order/],
    [
      'an end at zero noise for noise prediction',
      () => new DPMSolverMultistepScheduler({ algorithm_type: 'dpmsolver' }),
      /"sigma_min"/,
    ],
    ['too few steps for a Runge–Kutta start', () => new PNDMScheduler().setTimesteps(3), /skip_prk_steps/],
    ['more steps than a distilled schedule has', () => new LCMScheduler().setTimesteps(51), /50 timesteps/],
    [
      'more steps than strength leaves',
      () => new LCMScheduler().setTimesteps(26, { strength: 0.5 }),
      /25 timesteps at strength 0\.5/,
    ],
    ['ascending timesteps', () => new DDPMScheduler().setTimesteps(2, { timesteps: [1, 2] }), /descending/],
    [
      'custom timesteps under a rule for sigmas',
      () => new DPMSolverMultistepScheduler({ use_karras_sigmas: true }).setTimesteps(2, { timesteps: [9, 2] }),
      /custom timesteps/,
    ],
  ]

  it.each(refusals)('%s', (_what, act, message) => {
    expect(act).toThrow(EngineError)
    expect(act).toThrow(message)
    expect(act).toThrow(expect.objectContaining({ code: 'argument' }))
  })

  it.each(SCHEDULERS.map((scheduler) => [scheduler.name, scheduler] as const))(
    'a number of steps that %s cannot take',
    (_name, schedulerClass) => {
      const scheduler = schedulerClass.fromConfig({})
      for (const steps of [0, -1, 2.5, 1001, Number.NaN])
        expect(() => scheduler.setTimesteps(steps)).toThrow(EngineError)
    },
  )

  const sample: Tensor = { data: new Float32Array(16), dims: [1, 1, 4, 4] }

  it('a timestep that is not in the schedule', () => {
    const euler = new EulerDiscreteScheduler()
    euler.setTimesteps(4)
    expect(() => euler.scaleModelInput(sample, 3)).toThrow(/setTimesteps/)
  })

  it('a timestep past the training', () => {
    const ddim = new DDIMScheduler({ steps_offset: 1 })
    ddim.setTimesteps(1000)
    expect(() => ddim.step(sample, ddim.timesteps[0]!, sample)).toThrow(/1000/)
  })

  it('a step past the end of the schedule', () => {
    const euler = new EulerDiscreteScheduler()
    euler.setTimesteps(1)
    euler.step(sample, 0, sample)
    expect(() => euler.step(sample, 0, sample)).toThrow(/at its end/)
  })

  it('a model output of another size', () => {
    const ddim = new DDIMScheduler()
    ddim.setTimesteps(4)
    const half = { data: new Float32Array(8), dims: [1, 1, 2, 4] }
    expect(() => ddim.step(half, ddim.timesteps[0]!, sample)).toThrow(/differ in size/)
  })

  it('a stochasticity out of range', () => {
    const tcd = new TCDScheduler()
    tcd.setTimesteps(2)
    expect(() => tcd.step(sample, tcd.timesteps[0]!, sample, { eta: 1.5 })).toThrow(/from 0 to 1/)
  })
})

describe('a step', () => {
  it.each([4, 10, 25, 30, 50])('of DDIM with η = 1 from zero terminal SNR is finite, in %i steps', (steps) => {
    const ddim = new DDIMScheduler({
      beta_schedule: 'scaled_linear',
      rescale_betas_zero_snr: true,
      prediction_type: 'v_prediction',
      timestep_spacing: 'trailing',
    })
    ddim.setTimesteps(steps)
    const sample = new Generator(3).randn([1, 1, 4, 4])
    const { prevSample } = ddim.step(sample, ddim.timesteps[0]!, sample, { eta: 1 })
    expect(prevSample.data.every(Number.isFinite)).toBe(true)
  })

  it.each(SCHEDULERS.map((scheduler) => [scheduler.name, scheduler] as const))(
    'of %s predicts the image, for previews, and leaves its inputs alone',
    (_name, schedulerClass) => {
      const scheduler = schedulerClass.fromConfig({ clip_sample: false })
      scheduler.setTimesteps(8)
      const t = scheduler.timesteps[0]!
      const sample = new Generator(3).randn([1, 1, 4, 4])
      const before = sample.data.slice()
      const output = model(scheduler.scaleModelInput(sample, t), t)
      const outputBefore = output.data.slice()
      const { prevSample, predOriginalSample } = scheduler.step(output, t, sample, { generator: new Generator(1) })
      expect(predOriginalSample?.data.every(Number.isFinite)).toBe(true)
      expect(prevSample.dims).toEqual(sample.dims)
      expect(sample.data).toEqual(before)
      expect(output.data).toEqual(outputBefore)
    },
  )
})
