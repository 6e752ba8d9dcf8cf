/** The page's own files, read once and served from memory. */

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Context, Handler } from 'hono'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const LOGIN = 'login.html'

/** By path; `/` is the page, and `/login.html` what stands there for whoever is not logged in. @throws Error when the page was not built */
export async function readPage(folder: string): Promise<ReadonlyMap<string, Handler>> {
  const names = await readdir(folder).catch((): string[] => [])
  if (!names.includes('index.html')) throw new Error('The playground is not built; run npm run build once.')
  const served = names.filter((name) => extname(name) in TYPES)
  const handlers = await Promise.all(
    served.map(async (name) => {
      const content = await readFile(join(folder, name))
      const handler = name === LOGIN ? refuse(content) : serve(content, TYPES[extname(name)]!)
      return [name === 'index.html' ? '/' : `/${name}`, handler] as const
    }),
  )
  return new Map(handlers)
}

/** The form, which is no page to keep. */
function refuse(content: Buffer): Handler {
  const headers = { 'content-type': TYPES['.html']!, 'cache-control': 'no-store' }
  return (c: Context) => c.body(new Uint8Array(content), 401, headers)
}

/** Browsers keep the file and ask whether it changed, so that an update needs no reload by hand. */
function serve(content: Buffer, type: string): Handler {
  const etag = `"${createHash('sha256').update(content).digest('hex').slice(0, 20)}"`
  return (c: Context) => {
    const headers = { 'content-type': type, 'cache-control': 'no-cache', etag }
    if (c.req.header('if-none-match') === etag) return c.body(null, 304, headers)
    return c.body(new Uint8Array(content), 200, headers)
  }
}
