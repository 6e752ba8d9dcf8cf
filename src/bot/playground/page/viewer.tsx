/** A picture by itself, as large as the window allows; arrow keys go to the job's other pictures, Escape goes back. */

import { useEffect, useRef } from 'preact/hooks'
import type { Message } from '../message.ts'
import { BackIcon, CloseIcon, DownloadIcon, ForwardIcon } from './icons.tsx'
import { isSmall } from './pictures.tsx'

interface ViewerProps {
  readonly message: Message
  readonly index: number
  readonly onMove: (index: number) => void
  readonly onClose: () => void
}

export function Viewer({ message, index, onMove, onClose }: ViewerProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current!.showModal(), [])
  const { pictures, prompt } = message
  const picture = pictures[index]
  useEffect(() => {
    if (!picture) onClose()
  }, [picture])
  if (!picture) return null
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
          class={isSmall(picture) ? 'pixels' : ''}
          src={picture.url}
          alt={picture.alt}
          style={{ '--width': String(picture.width), '--height': String(picture.height) }}
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
