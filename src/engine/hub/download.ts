/** Models from the Hugging Face hub, into its own cache and under its own settings; the only file here that reads the environment. */

import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { getHFHubCachePath, getRepoFolderName, HubApiError, listFiles, modelInfo } from '@huggingface/hub'
import { EngineError } from '../errors.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { HOW_TO_EXPORT } from '../models/pipeline-folder.ts'
import { cacheFile, type RemoteFile, type Repository, snapshotPath } from './cache.ts'
import { hasGraphs, neededFiles } from './files.ts'

/** Commits and etags become names of files. */
const SAFE_NAME = /^[\w-]{1,128}$/

/** The library takes no other, and `fetch` would name one with a line break in its error. */
const TOKEN = /^hf_\w+$/

export interface DownloadOptions {
  /** Branch, tag or commit. Default 'main'. */
  readonly revision?: string | undefined
  readonly dtype: Dtype
  /** Whether 'auto' prefers half precision. */
  readonly onGpu: boolean
  /** Bytes of a file that is being fetched. */
  readonly onProgress: (file: string, loaded: number, total: number) => void
  readonly onNotice: (message: string) => void
}

/** `org/name`, in the hub's characters; a lone name is more likely a folder that was mistyped. */
export function isRepositoryName(model: string): boolean {
  return /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(model) && !model.includes('..') && !model.includes('--')
}

/**
 * Brings the files that a pipeline needs onto this machine, those that are not there yet.
 *
 * Settings are Hugging Face's: `HF_ENDPOINT`, `HF_TOKEN` (or the token that its command line keeps), `HF_HUB_CACHE`, `HF_HOME`,
 * `HF_HUB_OFFLINE`. Without a connection, what the cache holds of that revision is used.
 *
 * @returns The snapshot's folder.
 * @throws EngineError 'model' when there is no such repository, no ONNX in it, or no way to it.
 */
export async function downloadPipeline(name: string, options: DownloadOptions): Promise<string> {
  const { revision = 'main' } = options
  if (!/^(?!.*\.\.)\w[\w./-]*$/.test(revision))
    throw new EngineError(
      'argument',
      `\`revision\` has to be a branch, a tag or a commit but is ${String(revision).slice(0, 80)}.`,
    )
  const folder = join(getHFHubCachePath(), getRepoFolderName({ type: 'model', name }))
  if (isOffline()) return cached(folder, name, revision, 'HF_HUB_OFFLINE is set')
  const { hubUrl, accessToken } = access()
  try {
    const commit = await commitOf(name, revision, hubUrl, accessToken)
    const repository = { name, revision: commit, folder, hubUrl, accessToken }
    await fetchAll(repository, options)
    await writeRef(folder, revision, commit)
    return snapshotPath(repository, '')
  } catch (error) {
    if (!isConnectionError(error)) throw hubError(error, name, revision, hubUrl)
    const path = await cached(folder, name, revision, `${hubUrl} cannot be reached`, error)
    options.onNotice(`${hubUrl} cannot be reached; using the copy of ${name} in the cache.`)
    return path
  }
}

async function fetchAll(repository: Repository, { dtype, onGpu, onProgress }: DownloadOptions): Promise<void> {
  const files = await remoteFiles(repository)
  const isPipeline = files.some(({ path }) => path === 'model_index.json')
  if (!isPipeline || !hasGraphs(files)) throw notExported(repository.name, isPipeline)
  for (const file of neededFiles(files, dtype, onGpu))
    await cacheFile(repository, file, (loaded) => onProgress(file.path, loaded, file.size))
}

async function remoteFiles({ name, revision, hubUrl, accessToken }: Repository): Promise<RemoteFile[]> {
  const files: RemoteFile[] = []
  const listing = listFiles({
    repo: { type: 'model', name },
    recursive: true,
    revision,
    hubUrl,
    ...(accessToken !== undefined && { accessToken }),
  })
  for await (const { type, path, size, oid, lfs } of listing) {
    if (type !== 'file' || path.split('/').includes('..') || path.startsWith('/')) continue
    const sha256 = lfs?.oid.replace(/^sha256:/, '')
    const etag = sha256 ?? oid
    if (etag === undefined || !SAFE_NAME.test(etag)) continue
    files.push({ path, size: lfs?.size ?? size, etag, ...(sha256 !== undefined && { sha256 }) })
  }
  return files
}

async function commitOf(
  name: string,
  revision: string,
  hubUrl: string,
  accessToken: string | undefined,
): Promise<string> {
  const { sha } = await modelInfo({
    name,
    revision,
    hubUrl,
    additionalFields: ['sha'],
    ...(accessToken !== undefined && { accessToken }),
  })
  if (!SAFE_NAME.test(sha)) throw new Error(`the hub gave no commit for ${name} at ${revision}`)
  return sha
}

/** Left alone where it is right: a cache that is complete may lie on a disk that cannot be written to. */
async function writeRef(folder: string, revision: string, commit: string): Promise<void> {
  const path = join(folder, 'refs', revision)
  if (revision === commit || (existsSync(path) && (await readFile(path, 'utf8')) === commit)) return
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, commit)
}

async function cached(folder: string, name: string, revision: string, why: string, cause?: unknown): Promise<string> {
  const ref = join(folder, 'refs', revision)
  const commit = existsSync(ref) ? (await readFile(ref, 'utf8')).trim() : revision
  const path = snapshotPath({ folder, revision: commit }, '')
  if (existsSync(join(path, 'model_index.json'))) return path
  throw new EngineError(
    'model',
    `${name} is not in the cache and ${why}; connect once, or give the folder of a model that is on this machine.`,
    { cause },
  )
}

/** @throws EngineError 'argument', which never shows what a secret may stand in. */
function access(): { hubUrl: string; accessToken: string | undefined } {
  const hubUrl = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  if (!/^https?:\/\/[^/@]+(?:\/[^@]*)?$/.test(hubUrl) || !URL.canParse(hubUrl))
    throw new EngineError(
      'argument',
      'HF_ENDPOINT has to be an address like https://huggingface.co, without a name and a password in it; correct it.',
    )
  const accessToken = process.env.HF_TOKEN?.trim() || storedToken()
  if (accessToken !== undefined && !TOKEN.test(accessToken))
    throw new EngineError(
      'argument',
      'HF_TOKEN is no token of Hugging Face: hf_ and then letters and digits alone; copy it again, or unset it.',
    )
  return { hubUrl, accessToken }
}

/** Where Hugging Face's command line keeps a login. */
function storedToken(): string | undefined {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const path = process.env.HF_TOKEN_PATH || join(process.env.HF_HOME || join(caches, 'huggingface'), 'token')
  const token = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
  return TOKEN.test(token) ? token : undefined
}

function isOffline(): boolean {
  return /^(?:1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')
}

/** `fetch` rejects with a TypeError when there is no connection; a hub in trouble answers with 5xx. */
function isConnectionError(error: unknown): boolean {
  if (error instanceof HubApiError) return error.statusCode >= 500
  return error instanceof TypeError && /fetch failed|terminated/.test(error.message)
}

function hubError(error: unknown, name: string, revision: string, hubUrl: string): EngineError {
  if (error instanceof EngineError) return error
  const options = { cause: error }
  if (error instanceof HubApiError && [401, 403].includes(error.statusCode))
    return new EngineError(
      'model',
      `${hubUrl} does not give ${name} to us: check the name, accept its licence on its page, and set HF_TOKEN to a token of yours.`,
      options,
    )
  if (error instanceof HubApiError && error.statusCode === 404)
    return new EngineError(
      'model',
      `There is no folder ${name} here, and no model ${name} with the revision ${revision} on ${hubUrl}; check both.`,
      options,
    )
  // What the hub's library adds holds the address, and a store's addresses are signed.
  const why = (error instanceof Error ? error.message : String(error)).replace(/\.? URL: .*$/s, '')
  return new EngineError('model', `${name} could not be fetched from ${hubUrl} (${why}); try again.`, options)
}

function notExported(name: string, isPipeline: boolean): EngineError {
  const what = isPipeline
    ? `give a revision that has them (often 'onnx'), or ${HOW_TO_EXPORT.replace('NAME', name)} and give that folder`
    : 'give the name of a Stable Diffusion pipeline that was exported to ONNX, with its model_index.json'
  return new EngineError('model', `${name} holds no ONNX files of a pipeline: ${what}.`)
}
