/** One file of a hub repository into Hugging Face's cache: fetched, taken up where it broke off, checked, linked into its snapshot. */

import { createHash } from 'node:crypto'
import { constants, createReadStream, existsSync } from 'node:fs'
import { copyFile, mkdir, open, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { setTimeout } from 'node:timers/promises'
import { downloadFile, fileDownloadInfo, HubApiError } from '@huggingface/hub'
import { EngineError } from '../errors.ts'

export interface RemoteFile {
  readonly path: string
  readonly size: number
  /** What the cache calls the file: SHA-256 for large files, git's object id for small ones. */
  readonly etag: string
  /** Of large files alone. */
  readonly sha256?: string
}

export interface Repository {
  readonly name: string
  /** A commit. */
  readonly revision: string
  /** `models--org--name` in the cache. */
  readonly folder: string
  readonly hubUrl: string
  readonly accessToken: string | undefined
}

/** A connection that breaks off is taken up again so many times in a row without a byte of progress. */
const ATTEMPTS = 3
const PAUSE_MS = 500

/** Several workers may fetch a file into one cache at once: each writes the same bytes at the same places, and one renames it. */
const WITHOUT_TRUNCATING = constants.O_WRONLY | constants.O_CREAT

/** @throws EngineError 'model' when the file keeps arriving damaged. */
export async function cacheFile(
  repository: Repository,
  file: RemoteFile,
  onBytes: (loaded: number) => void,
): Promise<void> {
  const link = snapshotPath(repository, file.path)
  if (existsSync(link)) return
  const blob = join(repository.folder, 'blobs', file.etag)
  await mkdir(dirname(blob), { recursive: true })
  if (!existsSync(blob)) await fetchBlob(repository, file, blob, onBytes)
  await mkdir(dirname(link), { recursive: true })
  await linkTo(blob, link)
}

export function snapshotPath(repository: Pick<Repository, 'folder' | 'revision'>, path: string): string {
  return join(repository.folder, 'snapshots', repository.revision, path)
}

async function fetchBlob(
  repository: Repository,
  file: RemoteFile,
  blob: string,
  onBytes: (loaded: number) => void,
): Promise<void> {
  const incomplete = `${blob}.incomplete`
  for (let attempt = 1; !existsSync(blob); ) {
    const before = await sizeOf(incomplete)
    try {
      if (before < file.size || file.size === 0) await fetchRest(repository, file, incomplete, before, onBytes)
      if (await isWhole(incomplete, file)) await rename(incomplete, blob)
      else if (!existsSync(blob)) {
        await rm(incomplete, { force: true })
        throw new EngineError('model', `${file.path} of ${repository.name} arrived damaged; try again later.`)
      }
    } catch (error) {
      const refused = error instanceof HubApiError && error.statusCode < 500
      const moved = (await sizeOf(incomplete)) > before
      if (refused || (!moved && ++attempt > ATTEMPTS)) throw error
      if (!moved) await setTimeout(PAUSE_MS)
    }
  }
}

async function fetchRest(
  repository: Repository,
  file: RemoteFile,
  incomplete: string,
  from: number,
  onBytes: (loaded: number) => void,
): Promise<void> {
  const whole = await remoteBlob(repository, file.path)
  const rest = from > 0 ? whole.slice(from, file.size) : whole
  let loaded = from
  await pipeline(
    Readable.fromWeb(rest.stream() as ReadableStream<Uint8Array>),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        loaded += chunk.length
        onBytes(loaded)
        yield chunk
      }
    },
    (await open(incomplete, WITHOUT_TRUNCATING)).createWriteStream({ start: from }),
  )
}

async function remoteBlob({ name, revision, hubUrl, accessToken }: Repository, path: string): Promise<Blob> {
  const from = {
    repo: { type: 'model', name } as const,
    path,
    revision,
    hubUrl,
    ...(accessToken !== undefined && { accessToken }),
  }
  const info = await fileDownloadInfo(from)
  if (!info) throw new EngineError('model', `${name} has no ${path} any more; try again.`)
  // The library sends the token to some stores that the hub redirects to; asked at the hub's own address, `fetch` drops it.
  const own = `${hubUrl}/${name}/resolve/${revision}/${path}`
  const url = new URL(info.url).origin === new URL(hubUrl).origin ? info.url : own
  return (await downloadFile({ ...from, downloadInfo: { ...info, url } }))!
}

async function isWhole(path: string, { size, sha256 }: RemoteFile): Promise<boolean> {
  if ((await sizeOf(path)) !== size) return false
  if (sha256 === undefined) return true
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex') === sha256
}

function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

/** Windows lets few people make symbolic links; a copy does there. */
async function linkTo(blob: string, link: string): Promise<void> {
  try {
    await symlink(relative(dirname(link), blob), link)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPERM') await copyFile(blob, link)
    else if (code !== 'EEXIST') throw error
  }
}
