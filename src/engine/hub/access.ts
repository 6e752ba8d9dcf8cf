/** Hugging Face's own settings: where its hub is, who we are, whether we may ask it. The only file of the hub that reads the environment. */

import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { EngineError } from '../errors.ts'

/** The library takes no other, and `fetch` would name one with a line break in its error. */
const TOKEN = /^hf_\w+$/

export interface Access {
  readonly hubUrl: string
  readonly accessToken: string | undefined
}

/** @throws EngineError 'argument', which never shows what a secret may stand in. */
export function access(): Access {
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

export function isOffline(): boolean {
  return /^(?:1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')
}

/** Where Hugging Face's command line keeps a login. */
function storedToken(): string | undefined {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const path = process.env.HF_TOKEN_PATH || join(process.env.HF_HOME || join(caches, 'huggingface'), 'token')
  const token = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
  return TOKEN.test(token) ? token : undefined
}
