/** A picture by itself, as large as the window allows; arrow keys go to the job's other pictures, Escape goes back. */

import { useEffect, useReducer, useRef } from 'preact/hooks'
import type { Message, MessagePicture } from '../message.ts'
import { BackIcon, CloseIcon, DownloadIcon, ForwardIcon } from './icons.tsx'
import { wholeWidth } from './pictures.tsx'

interface ViewerProps {
  readonly message: Message
  readonly index: number
  readonly onMove: (index: number) => void
  readonly onClose: () => void
}

export function Viewer({ message, index, onMove, onClose }: ViewerProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current!.showModal(), [])
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => {
    const onResize = () => redraw(undefined as never)
    window.addEventListener('resize', onResize)
    return () => window.removeEventListener('resize', onResize)
  }, [])
  const { pictures, prompt } = message
  const picture = pictures[index]
  useEffect(() => {
    if (!picture) onClose()
  }, [picture])
  if (!picture) return null
  const { shown, whole } = wholeWidth(picture, roomFor(picture))
  const move = (by: number) => onMove((index + by + pictures.length) % pictures.length)
  const onKeyDown = ({ key }: KeyboardEvent) => {
    if (key === 'ArrowLeft') move(-1)
    if (key === 'ArrowRight') move(1)
  }
  return (
    <dialog
      ref={dialog}
      class="viewer"
      aria-label={picture.alt}
      onClose={onClose}
      onKeyDown={onKeyDown}
      onClick={(event) => event.target === event.currentTarget && dialog.current!.close()}
    >
      <figure>
        <img
          key={picture.url}
          class={whole ? 'pixels' : ''}
          src={picture.url}
          alt={picture.alt}
          style={{ width: `${shown}px`, height: `${(shown * picture.height) / picture.width}px` }}
        />
        <figcaption>
          <span class="viewer-prompt" dir="auto">
            {prompt}
          </span>
          {pictures.length > 1 && (
            <span class="viewer-count" aria-live="polite">
              {index + 1} / {pictures.length}
            </span>
          )}
          <a class="button" href={picture.url} download={picture.name}>
            <DownloadIcon /> Download
          </a>
        </figcaption>
      </figure>
      {pictures.length > 1 && (
        <>
          <button type="button" class="viewer-move viewer-back" aria-label="Previous picture" onClick={() => move(-1)}>
            <BackIcon />
          </button>
          <button type="button" class="viewer-move viewer-forward" aria-label="Next picture" onClick={() => move(1)}>
            <ForwardIcon />
          </button>
        </>
      )}
      <button type="button" class="viewer-close" aria-label="Close" onClick={() => dialog.current!.close()}>
        <CloseIcon />
      </button>
    </dialog>
  )
}

/** Beside the picture, and above and below it with the caption, in CSS pixels. */
const BESIDE = 32
const AROUND = 140
/** How many times its size a picture may be shown. */
const MAX_SCALE = 8

/** A picture's width where it fills the window. */
function roomFor({ width, height }: MessagePicture): number {
  const [across, down] = [(innerWidth - BESIDE) / width, (innerHeight - AROUND) / height]
  return width * Math.min(across, down, MAX_SCALE)
}
