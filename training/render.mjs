// Renders every emoji of the installed picture sets to 128 × 128 WebP with alpha, and writes names beside them: pictures.bin, pictures.json.
// Usage: node render.mjs OUTPUT_FOLDER
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'

const SIZE = 128
const DRAWN = 112 // the drawing itself, so that shifting and scaling it keeps it inside the picture
const output = process.argv[2] ?? 'data'
const packages = new URL('node_modules/', import.meta.url).pathname
const json = (path) => JSON.parse(readFileSync(join(packages, path), 'utf8'))

/** Emoji's code points as the sets spell them: lower case, without the variation selector that some leave out. */
const withoutSelector = (hexcode) => hexcode.toLowerCase().replaceAll('-fe0f', '')

/** An Iconify set: SVG bodies under names, and (where it ships one) a table from code points to names. */
function iconifySet(name) {
  const icons = json(`@iconify-json/${name}/icons.json`)
  const byCode = new Map()
  for (const [code, icon] of Object.entries(json(`@iconify-json/${name}/chars.json`))) byCode.set(withoutSelector(code), icon)
  return (hexcode, slug) => {
    let icon = byCode.get(withoutSelector(hexcode)) ?? slug
    icon = icons.aliases?.[icon]?.parent ?? icon
    const found = icons.icons[icon]
    if (!found) return undefined
    const box = `0 0 ${found.width ?? icons.width} ${found.height ?? icons.height}`
    return Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${box}" width="256" height="256">${found.body}</svg>`)
  }
}

function fluent3d(hexcode) {
  for (const code of [withoutSelector(hexcode), hexcode.toLowerCase()]) {
    const path = join(packages, '@lobehub/fluent-emoji-3d/assets', `${code}.webp`)
    if (existsSync(path)) return path
  }
  return undefined
}

const namesIn = (set) => new Map(Object.entries(json(`@iconify-json/${set}/chars.json`)).map(([code, icon]) => [withoutSelector(code), icon]))
const noto = namesIn('noto')
const flat = namesIn('fluent-emoji-flat')
const sets = {
  noto: iconifySet('noto'),
  flat: iconifySet('fluent-emoji-flat'),
  gradient: iconifySet('fluent-emoji'),
  '3d': fluent3d,
  // These ship no table of code points: gradient and blob are named as flat and Noto are, firefox by squeezed labels.
  blob: iconifySet('noto-v1'),
  firefox: iconifySet('fxemoji')
}
const slugs = {
  gradient: (emoji) => flat.get(withoutSelector(emoji.hexcode)),
  blob: (emoji) => noto.get(withoutSelector(emoji.hexcode)),
  firefox: (emoji) => emoji.label.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

const groups = json('emojibase-data/meta/groups.json').groups
const cldr = json('cldr-annotations-full/annotations/en/annotations.json').annotations.annotations
const emojilib = json('emojilib/dist/emoji-en-US.json')

/** What people call it: emojibase's tags, CLDR's keywords, emojilib's words; without its own name and without emoticons. */
function keywords(emoji) {
  const bare = emoji.emoji.replaceAll('\ufe0f', '')
  const words = [emoji.tags ?? [], (cldr[emoji.emoji] ?? cldr[bare])?.default ?? [], emojilib[emoji.emoji] ?? emojilib[bare] ?? []].flat()
  const plain = words.map((word) => word.replaceAll('_', ' ').toLowerCase()).filter((word) => /^[a-z][a-z' -]+$/.test(word) && word !== emoji.label)
  return [...new Set(plain)]
}

const blobs = []
const pictures = []
let offset = 0
for (const emoji of json('emojibase-data/en/data.json')) {
  if (emoji.group === undefined || groups[emoji.group] === 'component' || groups[emoji.group] === 'flags') continue
  for (const [style, find] of Object.entries(sets)) {
    const source = find(emoji.hexcode, slugs[style]?.(emoji))
    if (!source) continue
    const transparent = { r: 0, g: 0, b: 0, alpha: 0 }
    const margin = (SIZE - DRAWN) / 2
    const webp = await sharp(source)
      .resize(DRAWN, DRAWN, { fit: 'contain', background: transparent })
      .extend({ top: margin, bottom: margin, left: margin, right: margin, background: transparent })
      .webp({ quality: 88, alphaQuality: 95, effort: 4 })
      .toBuffer()
    pictures.push({ code: emoji.hexcode, name: emoji.label, group: groups[emoji.group], style, keywords: keywords(emoji), offset, length: webp.length })
    blobs.push(webp)
    offset += webp.length
  }
}
mkdirSync(output, { recursive: true })
writeFileSync(join(output, 'pictures.bin'), Buffer.concat(blobs))
writeFileSync(join(output, 'pictures.json'), JSON.stringify(pictures))
const count = (style) => pictures.filter((picture) => picture.style === style).length
console.log(`${pictures.length} pictures of ${new Set(pictures.map((picture) => picture.code)).size} concepts, ${(offset / 2 ** 20).toFixed(1)} MiB:`)
console.log(Object.keys(sets).map((style) => `${style} ${count(style)}`).join(', '))
