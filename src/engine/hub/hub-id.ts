/** How a person names a model of the Hugging Face hub: a repository, one file of it, or its address in a browser. */

export interface HubId {
  /** `org/name`. */
  readonly name: string
  /** A file of weights in the repository, folders by slashes. */
  readonly file?: string
  /** Where the address says one: branch, tag or commit. */
  readonly revision?: string
}

const SEGMENT = '[A-Za-z0-9][\\w.-]*'
const REPOSITORY = new RegExp(`^${SEGMENT}/${SEGMENT}$`)
/** What no file system and no address minds. */
const FILE = /^[^\\:*?"<>|#%\p{Cc}]+\.(?:safetensors|ckpt|bin|pth?)$/u
const ADDRESS = /^https?:\/\/(?:huggingface\.co|hf\.co)\/([^?#]+)/

/** @returns Nothing for what is none: a lone name is more likely a folder that was mistyped. */
export function parseHubId(model: string): HubId | undefined {
  const path = ADDRESS.exec(model)?.[1]
  if (path === undefined) return hubId(model.split('/'))
  const [org = '', name = '', view, revision, ...file] = path.replace(/\/$/, '').split('/').map(unescaped)
  if (view === undefined) return hubId([org, name])
  if (!['blob', 'resolve', 'tree'].includes(view) || !revision) return undefined
  const id = hubId([org, name, ...file])
  return id && { ...id, revision }
}

function hubId([org = '', repository = '', ...path]: readonly string[]): HubId | undefined {
  const name = `${org}/${repository}`
  if (!REPOSITORY.test(name) || [org, repository, ...path].some((part) => part === '' || part.includes('..')))
    return undefined
  // The cache joins both with two dashes.
  if (name.includes('--')) return undefined
  if (path.length === 0) return { name }
  const file = path.join('/')
  return FILE.test(file) ? { name, file } : undefined
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
