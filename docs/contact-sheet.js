/** Makes the README's contact sheet with the embedded model, every picture with seed 1: `npm run build`, then `node docs/contact-sheet.js`. */

import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { Generator, StableDiffusionPipeline } from '../dist/engine/index.js'

const PROMPTS = `
a penguin on a pink background
3d rocket
two cats
a sad pizza
a cat and a dog
green cat on a red background
a fox wearing a crown
an owl wearing sunglasses
dragon
a red apple next to a guitar
three mushrooms
a robot on top of a whale
birthday cake
cactus on a sky blue background
an angry avocado
a panda wearing a top hat
ghost on a dark blue background
blue strawberry
a frog and a crown
four bees on a yellow background
a sleepy moon
flat coffee cup
a unicorn on a purple background
a burger wearing glasses
kitten
a purple elephant
a laughing taco
snowman on a teal background
two red hearts on a black background
a pirate flag and a ship
glossy 3d donut
a monkey riding a horse
pink dinosaur
a crying onion
a bear wearing a graduation cap
lightning on a gray background
a cool pineapple
an octopus and a fish
wizard
castle on an orange background
three stars on a dark blue background
a happy tree
a penguin wearing sunglasses
trophy on a green background
teal turtle
a balloon next to a present
a skull wearing a crown on a black background
noodles
an orange butterfly on a white background
a shocked egg
a bike on top of a car
two owls on a brown background
fire and ice
a ladybug on a green background
crazy potato
a dog wearing a cap
gem on a purple background
a wolf and a moon
ufo on a dark blue background
a grumpy cloud
four cupcakes on a pink background
a snail on top of a book
heart eyes
seedling on a white background
`
  .trim()
  .split('\n')

const COLUMNS = 8
const LABEL = 30
const file = process.argv[2] ?? 'docs/contact-sheet.png'
const folder = fileURLToPath(new URL('../models/emoji', import.meta.url))
const defaults = JSON.parse(readFileSync(`${folder}/generation_config.json`, 'utf8'))
const { num_inference_steps: numInferenceSteps, guidance_scale: guidanceScale, height, width } = defaults

const pipe = await StableDiffusionPipeline.fromPretrained(folder)
const tiles = []
for (const [index, prompt] of PROMPTS.entries()) {
  const generator = new Generator(1)
  const { images } = await pipe.generate({ prompt, generator, numInferenceSteps, guidanceScale, height, width })
  const left = (index % COLUMNS) * width
  const top = Math.floor(index / COLUMNS) * (height + LABEL)
  tiles.push({ input: images[0], left, top }, { input: label(prompt), left, top: top + height })
}
const size = { width: COLUMNS * width, height: Math.ceil(PROMPTS.length / COLUMNS) * (height + LABEL) }
const sheet = sharp({ create: { ...size, channels: 3, background: '#ffffff' } }).composite(tiles)
await writeFile(file, await sheet.png({ palette: true, colours: 256, effort: 10, compressionLevel: 9 }).toBuffer())

/** On two lines, broken in the middle. @param {string} prompt */
function label(prompt) {
  const words = prompt.split(' ')
  const half = words.findIndex((_, at) => words.slice(0, at + 1).join(' ').length >= prompt.length / 2) + 1
  const lines = prompt.length < 24 ? [prompt] : [words.slice(0, half).join(' '), words.slice(half).join(' ')]
  const text = lines.map((line, at) => `<text x="50%" y="${11 + 11 * at}">${line}</text>`).join('')
  const style = `text-anchor="middle" font-family="sans-serif" font-size="9" fill="#333"`
  return Buffer.from(`<svg width="${width}" height="${LABEL}"><g ${style}>${text}</g></svg>`)
}
