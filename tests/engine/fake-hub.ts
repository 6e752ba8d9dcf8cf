/** A Hugging Face hub on loopback: one repository from a folder, its large files as LFS, its answers as the real hub's. */

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, sep } from 'node:path'

/** Files from so many bytes on are stored as LFS. */
const LARGE = 100_000

export interface FakeHub {
  readonly url: string
  readonly commit: string
  /** Every request: what was asked of whom, the range, the token. */
  readonly requests: { host: string; path: string; range?: string | undefined; authorization?: string | undefined }[]
  /** Breaks the connection once, after so many bytes of that file. */
  breakOnce(path: string, bytes: number): void
  /** From now on, that file lies in a store at another address, as large files do. */
  moveToStore(path: string): void
  /** From now on, that file's bytes are wrong. */
  damage(path: string): void
  close(): Promise<void>
}

export async function startFakeHub(name: string, folder: string): Promise<FakeHub> {
  const files = new Map(filesOf(folder).map((path) => [path, readFileSync(join(folder, path))]))
  const commit = createHash('sha1').update(name).digest('hex')
  const requests: FakeHub['requests'] = []
  const breaks = new Map<string, number>()
  const stored = new Set<string>()

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://hub').pathname)
    const { host = '', range, authorization } = request.headers
    requests.push({ host, path, range, authorization })
    if (path.startsWith(`/api/models/${name}/revision/`))
      return answer(response, path.endsWith('/absent') ? undefined : info())
    if (path === `/api/models/${name}/tree/${commit}`) return answer(response, tree())
    const file = path.startsWith(`/${name}/resolve/${commit}/`) ? path.slice(`/${name}/resolve/${commit}/`.length) : ''
    const content = files.get(file)
    if (!content) return answer(response, undefined)
    const inStore = host.startsWith('localhost')
    if (stored.has(file) && !inStore)
      return void response.writeHead(302, { Location: `http://localhost:${host.split(':')[1]}${request.url}` }).end()
    if (inStore) response.setHeader('X-Cache', 'Hit from cloudfront')
    send(request, response, file, content)
  })

  const info = () => ({
    _id: '1',
    id: name,
    sha: commit,
    private: false,
    downloads: 1,
    likes: 0,
    gated: false,
    lastModified: '2026-01-01T00:00:00.000Z',
  })
  const wholeHashes = new Map(
    [...files].map(([path, content]) => [path, createHash('sha256').update(content).digest('hex')]),
  )
  const tree = () =>
    [...files].map(([path, content]) => ({
      type: 'file',
      path,
      size: content.length,
      oid: createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
      ...(content.length >= LARGE && { lfs: { oid: wholeHashes.get(path), size: content.length, pointerSize: 134 } }),
    }))

  function send(request: IncomingMessage, response: ServerResponse, path: string, content: Buffer): void {
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const end = to === '' ? content.length : Number(to) + 1
    const body = content.subarray(Number(from), end)
    response.writeHead(request.headers.range ? 206 : 200, {
      'Content-Length': body.length,
      'Content-Type': 'application/octet-stream',
      ETag: `"${wholeHashes.get(path)}"`,
      ...(request.headers.range && { 'Content-Range': `bytes ${from}-${end - 1}/${content.length}` }),
    })
    const limit = breaks.get(path)
    if (limit === undefined || body.length <= limit) return void response.end(body)
    breaks.delete(path)
    response.write(body.subarray(0, limit), () => response.destroy())
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    commit,
    requests,
    breakOnce: (path, bytes) => void breaks.set(path, bytes),
    moveToStore: (path) => void stored.add(path),
    damage: (path) => void files.set(path, Buffer.from(files.get(path)!.map((byte) => byte ^ 1))),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body ?? { error: 'Repository not found' }))
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    )
}
