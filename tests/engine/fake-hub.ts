/** A Hugging Face hub on loopback: one repository from a folder a branch, its large files as LFS, its answers as the real hub's. */

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, sep } from 'node:path'

/** Files from so many bytes on are stored as LFS. */
const LARGE = 100_000

export interface FakeHub {
  readonly url: string
  /** Of the main branch. */
  readonly commit: string
  /** By branch. */
  readonly commits: ReadonlyMap<string, string>
  /** Every request: what was asked of whom, the range, the token. */
  readonly requests: { host: string; path: string; range?: string | undefined; authorization?: string | undefined }[]
  /** Breaks the connection once, after so many bytes of that file, as soon as `seen`: what has not been read then is lost. */
  breakOnce(path: string, bytes: number, seen: Promise<void>): void
  /** From now on, that file lies in a store at another address, as large files do. */
  moveToStore(path: string): void
  /** From now on, that file's bytes are wrong. */
  damage(path: string): void
  close(): Promise<void>
}

interface Branch {
  readonly commit: string
  readonly files: Map<string, Buffer>
}

/** @param others More branches: each one's name and folder. */
export async function startFakeHub(
  name: string,
  folder: string,
  others: Readonly<Record<string, string>> = {},
): Promise<FakeHub> {
  const branches = new Map<string, Branch>(
    Object.entries({ main: folder, ...others }).map(([branch, from]) => [branch, branchOf(name, branch, from)]),
  )
  const requests: FakeHub['requests'] = []
  const breaks = new Map<string, { bytes: number; seen: Promise<void> }>()
  const stored = new Set<string>()
  const damaged = new Set<string>()

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://hub').pathname)
    const { host = '', range, authorization } = request.headers
    requests.push({ host, path, range, authorization })
    const asked = path.split(`/api/models/${name}/revision/`)[1]
    if (asked !== undefined) return answer(response, info(asked))
    const [, commit, file = ''] =
      new RegExp(`^(?:/api/models)?/${name}/(?:tree|resolve)/(\\w+)/?(.*)$`).exec(path) ?? []
    const branch = [...branches.values()].find((one) => one.commit === commit)
    if (path.startsWith('/api/')) return answer(response, branch && tree(branch))
    const content = branch?.files.get(file)
    if (!content) return answer(response, undefined)
    const inStore = host.startsWith('localhost')
    if (stored.has(file) && !inStore)
      return void response.writeHead(302, { Location: `http://localhost:${host.split(':')[1]}${request.url}` }).end()
    if (inStore) response.setHeader('X-Cache', 'Hit from cloudfront')
    send(request, response, file, content)
  })

  const info = (revision: string) => {
    const { commit } = branches.get(revision) ?? [...branches.values()].find((one) => one.commit === revision) ?? {}
    if (commit === undefined) return undefined
    return {
      _id: '1',
      id: name,
      sha: commit,
      private: false,
      downloads: 1,
      likes: 0,
      gated: false,
      lastModified: '2026-01-01T00:00:00.000Z',
    }
  }
  const hashes = new Map(
    [...branches.values()].flatMap(({ files }) => [...files.values()]).map((one) => [one, sha256(one)]),
  )
  const tree = ({ files }: Branch) =>
    [...files].map(([path, content]) => ({
      type: 'file',
      path,
      size: content.length,
      oid: createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
      ...(content.length >= LARGE && { lfs: { oid: hashes.get(content), size: content.length, pointerSize: 134 } }),
    }))

  function send(request: IncomingMessage, response: ServerResponse, path: string, content: Buffer): void {
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const end = to === '' ? content.length : Number(to) + 1
    const sent = damaged.has(path) ? Buffer.from(content.map((byte) => byte ^ 1)) : content
    const body = sent.subarray(Number(from), end)
    response.writeHead(request.headers.range ? 206 : 200, {
      'Content-Length': body.length,
      'Content-Type': 'application/octet-stream',
      ETag: `"${hashes.get(content)}"`,
      ...(request.headers.range && { 'Content-Range': `bytes ${from}-${end - 1}/${content.length}` }),
    })
    const broken = breaks.get(path)
    if (!broken || body.length <= broken.bytes) return void response.end(body)
    breaks.delete(path)
    response.write(body.subarray(0, broken.bytes))
    void broken.seen.then(() => response.destroy())
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    commit: branches.get('main')!.commit,
    commits: new Map([...branches].map(([branch, { commit }]) => [branch, commit])),
    requests,
    breakOnce: (path, bytes, seen) => void breaks.set(path, { bytes, seen }),
    moveToStore: (path) => void stored.add(path),
    damage: (path) => void damaged.add(path),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function branchOf(name: string, branch: string, folder: string): Branch {
  const commit = createHash('sha1')
    .update(branch === 'main' ? name : `${name}@${branch}`)
    .digest('hex')
  return { commit, files: new Map(filesOf(folder).map((path) => [path, readFileSync(join(folder, path))])) }
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
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
