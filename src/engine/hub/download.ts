/** Models from the Hugging Face hub, into its own cache, as its own programs keep it. */

import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { getHFHubCachePath, getRepoFolderName, HubApiError, listFiles, modelInfo } from '@huggingface/hub'
import { EngineError } from '../errors.ts'
import type { Dtype } from '../models/graph-choice.ts'
import { type Access, access, isOffline } from './access.ts'
import { cacheFile, type RemoteFile, type Repository, snapshotPath } from './cache.ts'
import { neededFiles, type Wanted } from './files.ts'
import type { HubId } from './hub-id.ts'

/** Commits and etags become names of files. */
const SAFE_NAME = /^[\w-]{1,128}$/

/**
 * Branches that hold a variant under plain names, and the variant that each stands for; diffusers' `DEPRECATED_REVISION_ARGS`.
 * Files with the variant's mark are taken first where the branch has them, as in its `_get_model_file`.
 */
const VARIANT_REVISIONS: ReadonlyMap<string, string> = new Map([
  ['fp16', 'fp16'],
  ['non-ema', 'non_ema'],
])

export interface DownloadOptions {
  /** Branch, tag or commit. Default: what the id says, else 'main'. */
  readonly revision?: string | undefined
  /** As diffusers' argument: 'fp16', 'bf16', 'non_ema'. */
  readonly variant?: string | undefined
  /** Of a repository that holds a LoRA or a textual inversion: what the file is called, the best first. */
  readonly usualFiles?: readonly string[] | undefined
  readonly dtype: Dtype
  /** Whether 'auto' prefers half precision. */
  readonly onGpu: boolean
  /** Bytes of a file that is being fetched. */
  readonly onProgress: (file: string, loaded: number, total: number) => void
  readonly onNotice: (message: string) => void
}

export interface DownloadedModel {
  /** The snapshot's folder; one file where the id names one, or the repository is one checkpoint. */
  readonly path: string
  /** Which of PyTorch's files in the folder are meant: the cache may hold others of that commit. */
  readonly variant?: string | undefined
}

/**
 * Brings the files that a model needs onto this machine, those that are not there yet.
 *
 * Settings are Hugging Face's: `HF_ENDPOINT`, `HF_TOKEN` (or the token that its command line keeps), `HF_HUB_CACHE`, `HF_HOME`,
 * `HF_HUB_OFFLINE`. Without a connection, what the cache holds of that revision is used.
 *
 * @throws EngineError 'model' when there is no such repository, nothing in it that can be opened, or no way to it.
 */
export async function downloadModel(id: HubId, options: DownloadOptions): Promise<DownloadedModel> {
  const { name } = id
  const revision = requireRevision(options.revision ?? id.revision ?? 'main')
  const wanted = { ...options, file: id.file, impliedVariant: VARIANT_REVISIONS.get(revision) }
  const folder = join(getHFHubCachePath(), getRepoFolderName({ type: 'model', name }))
  if (isOffline()) return cached(folder, name, revision, wanted, 'HF_HUB_OFFLINE is set')
  const hub = access()
  try {
    return await fetchModel({ name, folder, ...hub }, revision, wanted, options)
  } catch (error) {
    if (!isConnectionError(error)) throw hubError(error, name, revision, hub.hubUrl)
    const model = await cached(folder, name, revision, wanted, `${hub.hubUrl} cannot be reached`, error)
    options.onNotice(`${hub.hubUrl} cannot be reached; using the copy of ${name} in the cache.`)
    return model
  }
}

type RepositoryName = Access & Pick<Repository, 'name' | 'folder'>

async function fetchModel(
  of: RepositoryName,
  revision: string,
  wanted: Wanted,
  { onProgress, onNotice }: DownloadOptions,
): Promise<DownloadedModel> {
  const own = await commitOf(of, revision).catch((error: unknown) => {
    if (wanted.impliedVariant !== undefined && isMissing(error)) return undefined
    throw error
  })
  if (own === undefined) {
    // The branch is gone, as newer repositories have the variant's files in their main one.
    onNotice(`${of.name} has no revision ${revision}; its variant ${wanted.impliedVariant} is used.`)
    const onMain = { ...wanted, variant: wanted.variant ?? wanted.impliedVariant, impliedVariant: undefined }
    return fetchCommit({ ...of, revision: await commitOf(of, 'main') }, 'main', onMain, onProgress)
  }
  return fetchCommit({ ...of, revision: own }, revision, wanted, onProgress)
}

async function fetchCommit(
  repository: Repository,
  revision: string,
  wanted: Wanted,
  onProgress: DownloadOptions['onProgress'],
): Promise<DownloadedModel> {
  const { files, entry, variant } = neededFiles(repository.name, await remoteFiles(repository), wanted)
  for (const file of files) await cacheFile(repository, file, (loaded) => onProgress(file.path, loaded, file.size))
  await writeRef(repository.folder, revision, repository.revision)
  return { path: snapshotPath(repository, entry), variant }
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

async function commitOf({ name, hubUrl, accessToken }: RepositoryName, revision: string): Promise<string> {
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

/** The same choice among what is in the cache: another precision of a model may be all that is there. */
async function cached(
  folder: string,
  name: string,
  revision: string,
  wanted: Wanted,
  why: string,
  cause?: unknown,
): Promise<DownloadedModel> {
  const commit = (await commitInCache(folder, revision)) ?? revision
  const snapshot = snapshotPath({ folder, revision: commit }, '')
  try {
    const { entry, variant } = neededFiles(name, localFiles(snapshot), wanted)
    return { path: join(snapshot, entry), variant }
  } catch (error) {
    if (!(error instanceof EngineError)) throw error
    throw new EngineError(
      'model',
      `${name} is not in the cache and ${why}; connect once, or give the folder of a model that is on this machine.`,
      { cause: cause ?? error },
    )
  }
}

async function commitInCache(folder: string, revision: string): Promise<string | undefined> {
  const revisions = VARIANT_REVISIONS.has(revision) ? [revision, 'main'] : [revision]
  const ref = revisions.map((one) => join(folder, 'refs', one)).find((path) => existsSync(path))
  return ref === undefined ? undefined : (await readFile(ref, 'utf8')).trim()
}

function localFiles(snapshot: string): { path: string }[] {
  if (!existsSync(snapshot)) return []
  return readdirSync(snapshot, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => ({ path: relative(snapshot, join(parentPath, name)).split(sep).join('/') }))
}

function requireRevision(revision: string): string {
  if (/^(?!.*\.\.)\w[\w./-]*$/.test(revision)) return revision
  throw new EngineError(
    'argument',
    `\`revision\` has to be a branch, a tag or a commit but is ${String(revision).slice(0, 80)}.`,
  )
}

function isMissing(error: unknown): boolean {
  return error instanceof HubApiError && error.statusCode === 404
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
  if (isMissing(error))
    return new EngineError(
      'model',
      `There is no folder ${name} here, and no model ${name} with the revision ${revision} on ${hubUrl}; check both.`,
      options,
    )
  // What the hub's library adds holds the address, and a store's addresses are signed.
  const why = (error instanceof Error ? error.message : String(error)).replace(/\.? URL: .*$/s, '')
  return new EngineError('model', `${name} could not be fetched from ${hubUrl} (${why}); try again.`, options)
}
