/** Flags that people know from Midjourney and other bots, and what there is here instead. */

const MODEL = 'the model is the one that the operator chose'
const WORDS_ALONE = 'pictures are drawn from words alone'
const IN_WORDS = 'say it in the prompt'
const TURNS = 'everybody takes turns'
const SIZE = 'use --size'
const DIFFERENT = 'use --count, or draw again for another seed'
const ONE_SCHEDULER = 'the scheduler is the one that the model was made with'

/** By what is there instead; https://docs.midjourney.com/docs/parameter-list and AUTOMATIC1111's names. */
const FLAGS: readonly (readonly [instead: string, ...flags: string[]])[] = [
  [MODEL, 'v', 'version', 'niji', 'model', 'test', 'testp', 'creative', 'hd'],
  ['use --steps', 'q', 'quality', 'stop', 'draft', 'ddim_steps', 'num_inference_steps', 'sampling_steps'],
  ['use --guidance', 's', 'stylize', 'weird', 'raw', 'exp', 'cfg_scale', 'cfg-scale', 'guidance_scale', 'scale'],
  [DIFFERENT, 'c', 'chaos', 'r', 'repeat', 'batch', 'batch_size', 'n_iter', 'num', 'sameseed'],
  [SIZE, 'w', 'h', 'width', 'height', 'resolution'],
  [IN_WORDS, 'style', 'mood'],
  ['use --negative', 'neg', 'negative_prompt', 'negative-prompt', 'n_prompt'],
  [WORDS_ALONE, 'sref', 'cref', 'oref', 'iw', 'sw', 'cw', 'ow', 'sv', 'image', 'init_image', 'strength'],
  ['pictures are not made to tile', 'tile'],
  ['pictures stand still', 'video', 'motion', 'loop', 'end', 'bs'],
  [TURNS, 'fast', 'relax', 'turbo', 'priority'],
  ['who is in the channel sees it', 'public', 'stealth', 'private'],
  ['use the buttons U1 to U4', 'upscale', 'uplight', 'upbeta', 'upanime', 'hires'],
  ['everybody gets the same', 'p', 'personalize', 'profile'],
  [ONE_SCHEDULER, 'sampler', 'scheduler', 'sampling_method'],
]

const INSTEAD: ReadonlyMap<string, string> = new Map(
  FLAGS.flatMap(([instead, ...flags]) => flags.map((flag) => [flag, instead] as const)),
)

/** What there is in a flag's place, in words; undefined where no other bot that we know has it. */
export function insteadOf(flag: string): string | undefined {
  return INSTEAD.get(flag.toLowerCase())
}
