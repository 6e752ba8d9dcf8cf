/** The engine's public door: `import { StableDiffusionPipeline } from 'seedling/engine'`. */

// Its types speak of Buffers, which TypeScript knows only where Node's types are named.
/// <reference types="node" preserve="true" />

export type { Device } from './devices/device.ts'
export { EngineError, type EngineErrorCode } from './errors.ts'
export type { FamilyName, Task } from './families/family.ts'
export type { ImageInput, RawImage } from './images/image-processor.ts'
export { ControlNetModel } from './models/controlnet.ts'
export type { Dtype } from './models/graph-choice.ts'
export type { CallbackOnStepEnd, GenerateArguments, OutputType } from './pipelines/arguments.ts'
export type { Components } from './pipelines/components.ts'
export type { AdapterSelection, AdapterWeight, LoraComponent } from './pipelines/lora-adapters.ts'
export type { ModelInfo } from './pipelines/model-info.ts'
export type { FromPretrainedOptions, LoadProgress } from './pipelines/open-model.ts'
export type { LoadOptions } from './pipelines/opening.ts'
export type { PipelineOutput, Sampling } from './pipelines/sampling.ts'
export { StableDiffusionControlNetImg2ImgPipeline } from './pipelines/stable-diffusion-controlnet-img2img-pipeline.ts'
export { StableDiffusionControlNetInpaintPipeline } from './pipelines/stable-diffusion-controlnet-inpaint-pipeline.ts'
export { StableDiffusionControlNetPipeline } from './pipelines/stable-diffusion-controlnet-pipeline.ts'
export { StableDiffusionImg2ImgPipeline } from './pipelines/stable-diffusion-img2img-pipeline.ts'
export { StableDiffusionInpaintPipeline } from './pipelines/stable-diffusion-inpaint-pipeline.ts'
export { StableDiffusionPipeline } from './pipelines/stable-diffusion-pipeline.ts'
export { Generator, type GeneratorOptions, type Generators } from './random/generator.ts'
export * from './schedulers/index.ts'
export type * from './schedulers/scheduler.ts'
export type { Tensor } from './tensor.ts'
