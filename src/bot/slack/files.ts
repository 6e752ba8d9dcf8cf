/** A job's pictures as files in Slack, which image blocks then show. */

import { setTimeout as delay } from 'node:timers/promises'
import type { webApi } from '@slack/bolt'
import type { PictureStore } from '../../store/store.ts'
import type { View } from '../view.ts'
import { codeOf } from './errors.ts'

const POLLS = 30
const MAX_PAUSE_MS = 2000

/**
 * Uploads the view's pictures, shared with nobody until a message shows them, and gives their ids in order; none when
 * the pictures expired meanwhile.
 */
export async function uploadPictures(web: webApi.WebClient, pictures: PictureStore, view: View): Promise<string[]> {
  const uploads = await Promise.all(
    view.pictures.map(async ({ index, name, alt }) => {
      const file = await pictures.read(view.job, index)
      return file && { file, filename: name, alt_text: alt }
    }),
  )
  const found = uploads.filter((upload) => upload !== undefined)
  if (found.length === 0 || found.length < uploads.length) return []
  const { files } = await web.filesUploadV2({ file_uploads: found })
  return (files as UploadV2Completion[]).flatMap(({ files }) => files.map(({ id }) => id))
}

interface UploadV2Completion {
  readonly files: readonly { readonly id: string }[]
}

/**
 * An image block is refused until Slack has looked at its file: https://github.com/slackapi/slack-github-action/issues/413
 * Whoever waited in vain may try it all the same.
 */
export async function waitForImages(web: webApi.WebClient, files: readonly string[]): Promise<void> {
  await Promise.all(files.map((file) => waitForImage(web, file)))
}

async function waitForImage(web: webApi.WebClient, file: string): Promise<void> {
  for (let poll = 0; poll < POLLS; poll++) {
    if (poll > 0) await delay(Math.min(25 * 2 ** poll, MAX_PAUSE_MS))
    if (await isImage(web, file)) return
  }
}

/** Where Slack will not say (the scope is missing), the message that shows it will tell. */
async function isImage(web: webApi.WebClient, file: string): Promise<boolean> {
  try {
    const { file: info } = await web.files.info({ file })
    return Boolean(info?.mimetype)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return true
  }
}

/** A file that is gone already is no error. */
export async function deleteFiles(web: webApi.WebClient, files: readonly string[]): Promise<void> {
  await Promise.all(
    files.map((file) =>
      web.files.delete({ file }).catch((error) => {
        if (!['file_not_found', 'file_deleted'].includes(codeOf(error) ?? '')) throw error
      }),
    ),
  )
}
