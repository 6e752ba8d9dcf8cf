/**
 * What LoRA files call a model's modules. Their names have lost their dots, and those of modules have underscores of their
 * own, so a name is never taken apart: each of the model's modules is written in every way that files have it.
 */

/** The parts of a pipeline that a LoRA changes. */
export type LoraPart = 'unet' | 'text_encoder' | 'text_encoder_2'

/** In front of a module's name, the longest first; without one it is the UNet's, as in diffusers' first files. */
const PREFIXES: readonly (readonly [prefix: string, part: LoraPart])[] = [
  ['base_model.model.text_encoder_2.', 'text_encoder_2'],
  ['base_model.model.text_encoder.', 'text_encoder'],
  ['base_model.model.text_model.', 'text_encoder'],
  ['base_model.model.unet.', 'unet'],
  ['base_model.model.', 'unet'],
  ['model.diffusion_model.', 'unet'],
  ['diffusion_model.', 'unet'],
  ['text_encoder_2.', 'text_encoder_2'],
  ['text_encoder.', 'text_encoder'],
  ['text_model.', 'text_encoder'],
  ['lora_unet_', 'unet'],
  ['lora_te1_', 'text_encoder'],
  ['lora_te2_', 'text_encoder_2'],
  ['lora_te_', 'text_encoder'],
  ['unet.', 'unet'],
  ['', 'unet'],
]

/** The part that a key belongs to, and its module's flattened name. */
export function splitKey(key: string): { part: LoraPart; module: string } {
  const [prefix, part] = PREFIXES.find(([prefix]) => key.startsWith(prefix))!
  return { part, module: flat(key.slice(prefix.length).replace('.processor.', '.')) }
}

/** For each way to write a module's name, flattened, that module. @param modules As the graph calls them. */
export function modulesByName(part: LoraPart, modules: readonly string[]): Map<string, string> {
  const byName = new Map<string, string>()
  const own = modules.map((module) => withoutWrapper(part, module))
  const original = part === 'unet' ? originalNames(own) : () => undefined
  own.forEach((name, i) => {
    const spellings = part === 'unet' ? [name, original(name)] : textSpellings(name)
    for (const spelling of spellings)
      if (spelling !== undefined)
        for (const one of [spelling, spelling.replace(/\.to_out\.0$/, '.to_out')]) byName.set(flat(one), modules[i]!)
  })
  return byName
}

function flat(name: string): string {
  return name.replaceAll('.', '_')
}

const ROOTS: Record<'unet' | 'text', RegExp> = {
  unet: /(?:^|\.)((?:conv_in|conv_out|time_embedding|add_embedding|down_blocks|mid_block|up_blocks)(?:\..*)?)$/,
  text: /(?:^|\.)((?:encoder\.layers|text_projection)(?:\..*)?)$/,
}

/** Exporters wrap a model in modules of their own, and leave out those that it is wrapped in itself. */
function withoutWrapper(part: LoraPart, module: string): string {
  return ROOTS[part === 'unet' ? 'unet' : 'text'].exec(module)?.[1] ?? module
}

/** diffusers' attention processors called a text encoder's layers as a UNet's. */
function textSpellings(name: string): string[] {
  const asProcessor = name.replace(/\.([qkv])_proj$/, '.to_$1').replace(/\.out_proj$/, '.to_out')
  return [name, asProcessor].flatMap((one) => [one, `text_model.${one}`])
}

/** Inside a resnet. */
const RESNET: Readonly<Record<string, string>> = {
  conv1: 'in_layers.2',
  time_emb_proj: 'emb_layers.1',
  conv2: 'out_layers.3',
  conv_shortcut: 'skip_connection',
}

const TOP: Readonly<Record<string, string>> = {
  conv_in: 'input_blocks.0.0',
  conv_out: 'out.2',
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
  'add_embedding.linear_1': 'label_emb.0.0',
  'add_embedding.linear_2': 'label_emb.0.2',
}

/**
 * A module's name in an original checkpoint (CompVis, Stability AI), which kohya's trainer uses for SDXL. There the blocks of
 * all levels are one row: on the way down a level's resnets and its downsampler, on the way up its resnets.
 */
function originalNames(modules: readonly string[]): (name: string) => string | undefined {
  const firsts = { down_blocks: [1], up_blocks: [0] }
  for (const [block, downsamplers] of [
    ['down_blocks', 1],
    ['up_blocks', 0],
  ] as const)
    for (let level = 0; ; level++) {
      const resnets = modules.filter((name) => name.startsWith(`${block}.${level}.resnets.`) && name.endsWith('.conv1'))
      if (resnets.length === 0) break
      firsts[block].push(firsts[block].at(-1)! + resnets.length + downsamplers)
    }
  const attends = (level: string) => modules.some((name) => name.startsWith(`up_blocks.${level}.attentions.`))
  return (name) => TOP[name] ?? originalBlock(name.split('.'), firsts, attends)
}

function originalBlock(
  [block, ...path]: readonly string[],
  firsts: { readonly down_blocks: readonly number[]; readonly up_blocks: readonly number[] },
  attends: (level: string) => boolean,
): string | undefined {
  if (block === 'mid_block') {
    const [kind, index, ...inner] = path
    return `middle_block.${kind === 'attentions' ? 1 : 2 * Number(index)}.${innerName(inner)}`
  }
  if (block !== 'down_blocks' && block !== 'up_blocks') return undefined
  const [level = '', kind, index, ...inner] = path
  const first = firsts[block][Number(level)]!
  const last = firsts[block][Number(level) + 1]! - 1
  if (kind === 'downsamplers') return `input_blocks.${last}.0.op`
  if (kind === 'upsamplers') return `output_blocks.${last}.${attends(level) ? 2 : 1}.conv`
  const place = `${block === 'down_blocks' ? 'input' : 'output'}_blocks.${first + Number(index)}`
  return `${place}.${kind === 'resnets' ? 0 : 1}.${innerName(inner)}`
}

function innerName(inner: readonly string[]): string {
  const name = inner.join('.')
  return RESNET[name] ?? name
}
