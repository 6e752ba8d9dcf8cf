/** A job's pictures in a grid, finished or coming; both take the same room, so that nothing moves when they are done. */

import { useState } from 'preact/hooks'
import type { Message, MessagePicture } from '../message.ts'

export interface PicturesProps {
  readonly message: Message
  /** The picture that a button under the pointer is about. */
  readonly marked: number | undefined
  readonly onOpen: (index: number) => void
}

export function Pictures({ message, marked, onOpen }: PicturesProps) {
  if (message.state === 'done') {
    return message.pictures.length === 0 ? (
      <p class="gone">The pictures are no longer kept; 🔄 draws new ones.</p>
    ) : (
      <Grid message={message}>
        {message.pictures.map((picture) => (
          <Finished
            key={picture.index}
            picture={picture}
            marked={marked === picture.index}
            onOpen={() => onOpen(picture.index)}
          />
        ))}
      </Grid>
    )
  }
  if (message.state !== 'queued' && message.state !== 'running') return null
  return (
    <Grid message={message}>
      {Array.from({ length: message.count }, (_, index) => (
        <Coming key={index} message={message} index={index} />
      ))}
    </Grid>
  )
}

function Grid({ message, children }: { message: Message; children: preact.ComponentChildren }) {
  const { width, height, count } = message
  const style = { '--width': `${shownWidth(width, height, count)}px`, '--shape': `${width} / ${height}` }
  return (
    <div class={`pictures pictures-${count}${isSmall(message) ? ' pictures-small' : ''}`} style={style}>
      {children}
    </div>
  )
}

function Finished({ picture, marked, onOpen }: { picture: MessagePicture; marked: boolean; onOpen: () => void }) {
  const [lost, setLost] = useState(false)
  const { url, alt, width, height } = picture
  if (lost) return <p class="tile gone">No longer kept</p>
  return (
    <button type="button" class={`tile${marked ? ' tile-marked' : ''}`} onClick={onOpen} aria-label={`Look at: ${alt}`}>
      <img src={url} alt={alt} width={width} height={height} onError={() => setLost(true)} />
    </button>
  )
}

/** The preview shows all pictures in one; each tile shows its part. */
function Coming({ message: { preview, count }, index }: { message: Message; index: number }) {
  const columns = Math.ceil(Math.sqrt(count))
  const rows = Math.ceil(count / columns)
  const [column, row] = [index % columns, Math.floor(index / columns)]
  const style = preview && {
    backgroundImage: `url("${preview}")`,
    backgroundSize: `${columns * 100}% ${rows * 100}%`,
    // A background's position counts what of it does not fit: 0 % is the first column, 100 % the last.
    backgroundPosition: `${(100 * column) / Math.max(1, columns - 1)}% ${(100 * row) / Math.max(1, rows - 1)}%`,
  }
  return <div class={`tile coming${preview ? ' coming-preview' : ''}`} style={style || {}} aria-hidden="true" />
}

/** Pictures of this many pixels are shown larger than they are, pixel by pixel, where smoothing would only blur them. */
const SMALL = 128

export function isSmall({ width, height }: { width: number; height: number }): boolean {
  return Math.max(width, height) <= SMALL
}

/** In CSS pixels: a whole number of times for small pictures, and about a third of the column for large ones. */
function shownWidth(width: number, height: number, count: number): number {
  const side = Math.max(width, height)
  const room = count > 1 ? 224 : side > 96 ? 400 : 288
  if (isSmall({ width, height })) return width * Math.max(2, Math.floor(room / side))
  return Math.round((width * (count === 1 ? 448 : 288)) / side)
}
