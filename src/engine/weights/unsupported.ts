/** Files of weights that are something else than a Stable Diffusion: each is known by names that only it has. */

import type { Weights } from './stored-tensor.ts'

interface Sign {
  readonly name: RegExp
  /** What such a file is. */
  readonly title: string
}

/** Prefixes that a file in the original layout may have before a network's own names. */
const ANY = '^(?:model\\.diffusion_model\\.|diffusion_model\\.|transformer\\.|model\\.|net\\.)?'

function sign(name: string, title: string): Sign {
  return { name: new RegExp(ANY + name), title }
}

/** What is added to a model. In this order: a LoRA may be of any of the models below. */
const ADDITIONS: readonly Sign[] = [
  {
    name: /\.lora_(?:down|up|mid|A|B)\b|\.lora\.(?:down|up)\.|\.lora_linear_layer\.|\.(?:hada_|lokr_)w\d|\.dora_scale$|\.oft_(?:blocks|diag)$|^lora_(?:unet|te\d?)_/,
    title: 'a LoRA',
  },
  { name: /^lora_controlnet$/, title: 'a Control-LoRA' },
  { name: /\.motion_modules\.\d+\.temporal_transformer\./, title: 'a motion module of AnimateDiff' },
  { name: /^(?:ip_adapter\.\d+\.|image_proj\.)/, title: 'an IP-Adapter' },
  { name: /^(?:adapter\.)?body\.\d+\.(?:block1|block2|resnets\.\d+\.block[12])\./, title: 'a T2I-Adapter' },
  {
    name: /^(?:control_add_embedding|task_embedding$|transformer_layes\.)/,
    title: 'a ControlNet for several conditions (Union)',
  },
  { name: /^controlnet_(?:blocks|x_embedder|mode_embedder)\b/, title: 'a ControlNet of FLUX or Stable Diffusion 3' },
  {
    name: /^(?:params_ema\.|model\.\d+\.(?:sub\.|weight$)|conv_first\.weight$|body\.\d+\.rdb1\.)/,
    title: 'an upscaler of pictures',
  },
]

const MODELS: readonly Sign[] = [
  { name: /(?:^|\.)scaled_fp8$|\.scale_weight$/, title: 'a checkpoint of 8-bit numbers with scales' },
  { name: /\.quant_state\.bitsandbytes__|\.(?:qweight|qzeros)$/, title: 'a checkpoint quantised to 4 bits' },
  sign('joint_blocks\\.\\d+\\.', 'Stable Diffusion 3'),
  sign(
    'transformer_blocks\\.\\d+\\.(?:norm1_context|attn\\.add_q_proj)\\b.*',
    'a transformer (Stable Diffusion 3, FLUX or Qwen-Image)',
  ),
  sign('(?:double_stream_modulation_img|single_stream_modulation)\\.', 'FLUX.2'),
  sign('distilled_guidance_layer\\.', 'Chroma'),
  sign('txt_in\\.individual_token_refiner\\.', 'HunyuanVideo'),
  sign('double_blocks\\.\\d+\\.', 'FLUX'),
  sign('double_stream_blocks\\.\\d+\\.', 'HiDream'),
  sign('double_layers\\.\\d+\\.attn\\.w1q\\.', 'AuraFlow'),
  sign('(?:head\\.modulation$|vace_blocks\\.)', 'Wan'),
  sign('(?:patchify_proj\\.|av_ca_)', 'LTX-Video'),
  sign('t5_yproj\\.|t5_y_embedder\\.', 'Mochi'),
  sign('mlp_t5\\.\\d', 'Hunyuan-DiT'),
  sign('(?:cap_embedder\\.|layers\\.\\d+\\.adaLN_modulation)', 'Lumina or Z-Image'),
  sign('blocks\\.\\d+\\.cross_attn\\.(?:q_linear|kv_linear)\\.', 'PixArt or Sana'),
  sign('(?:adaln_single\\.|caption_projection\\.)', 'PixArt'),
  sign('(?:clip_txt_mapper|clf\\.1|down_blocks\\.\\d+\\.\\d+\\.channelwise)\\b', 'Stable Cascade'),
  sign('blocks\\.(?:block)?\\d+\\.(?:blocks\\.|self_attn\\.q_proj)', 'Cosmos'),
  { name: /\.time_stack\.|\.time_mix_blocks\.|\.temporal_transformer_blocks\./, title: 'Stable Video Diffusion' },
  { name: /^(?:encoder_hid_proj|text_encoder\.transformer\.word_embeddings)/, title: 'Kolors or Kandinsky' },
  {
    name: /^(?:model\.diffusion_model\.)?(?:label_emb|class_embedding)\.weight$/,
    title: 'the Stable Diffusion x4 Upscaler',
  },
  { name: /^embedder\.model\.visual\.|^noise_augmentor\./, title: 'Stable unCLIP' },
  { name: /^cc_projection\./, title: 'Zero123' },
  { name: /^(?:edm_mean|edm_std)$/, title: 'Playground v2.5, which needs the schedules of EDM' },
  { name: /^edm_vpred\.sigma_(?:max|min)$/, title: 'CosXL, which needs the schedules of EDM' },
  {
    name: /^(?:encoder|decoder)\.(?:middle\.\d+\.residual|stages\.\d+\.op_list)\./,
    title: 'a VAE of another kind of model',
  },
]

/** What is told only where nothing better is: text encoders are parts of larger files. */
const LEFTOVERS: readonly Sign[] = [
  {
    name: /^(?:shared\.weight$|encoder\.block\.\d+\.layer\.\d+\.SelfAttention\.)/,
    title: 'T5, a text encoder of other models',
  },
  { name: /^vision_model\.|^visual\./, title: 'a CLIP with its image tower' },
  { name: /^(?:model\.)?layers\.\d+\.self_attn\.q_proj\./, title: 'a language model' },
]

/** What is added to a model, told by its names: 'a LoRA'. Nothing where it is none of those. */
export function additionIn(weights: Weights): string | undefined {
  return first(weights, ADDITIONS)
}

/** A model that cannot be used here, told by its names. */
export function otherModelIn(weights: Weights): string | undefined {
  return first(weights, MODELS)
}

/** Textual inversion: one or a few vectors, in A1111's form, in diffusers' (a token), or SDXL's pair. */
export function isEmbedding(weights: Weights): boolean {
  const names = [...weights.names()]
  if (names.length === 0 || names.length > 4) return false
  if (names.some((name) => /^(?:string_to_param\b.*|emb_params|clip_[lg])$/.test(name))) return true
  return names.every((name) => (weights.get(name)?.shape.length ?? 0) <= 2 && !name.includes('.'))
}

/** Something that is no model for pictures at all. */
export function leftoverIn(weights: Weights): string | undefined {
  return first(weights, LEFTOVERS)
}

function first(weights: Weights, signs: readonly Sign[]): string | undefined {
  const names = [...weights.names()]
  return signs.find(({ name }) => names.some((one) => name.test(one)))?.title
}
