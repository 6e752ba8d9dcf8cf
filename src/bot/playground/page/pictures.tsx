/** A job's pictures in a grid, finished or coming; both take the same room, so that nothing moves when they are done. */

import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Message, MessagePicture } from '../message.ts'
import { RerollIcon } from './icons.tsx'

export interface PicturesProps {
  readonly message: Message
  /** The picture that a button under the pointer is about. */
  readonly marked: number | undefined
  readonly onOpen: (index: number) => void
}

export function Pictures({ message, marked, onOpen }: PicturesProps) {
  if (message.state === 'done') {
    return message.pictures.length === 0 ? (
      <p class="gone">
        The pictures are no longer kept; <RerollIcon /> draws new ones.
      </p>
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
  const grid = useRef<HTMLDivElement>(null)
  const [room, setRoom] = useState(0)
  useLayoutEffect(() => {
    const around = grid.current!.parentElement!
    const measure = () => setRoom(around.clientWidth)
    measure()
    // In a frame of its own: what is drawn anew within the observer's may be an error in its eyes.
    const observer = new ResizeObserver(() => requestAnimationFrame(measure))
    observer.observe(around)
    return () => observer.disconnect()
  }, [])
  const { width, height } = message
  const { columns, shown, whole } = layoutOf(message, room)
  const style = { '--columns': columns, '--width': `${shown}px`, '--shape': `${width} / ${height}` }
  return (
    <div ref={grid} class={`pictures${whole ? ' pixels' : ''}`} style={style}>
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
/** Between two pictures, in CSS pixels. */
const GAP = 8
/** Below this, fewer stand beside each other. */
const MIN_WIDTH = 192

export function isSmall({ width, height }: { width: number; height: number }): boolean {
  return Math.max(width, height) <= SMALL
}

interface Layout {
  readonly columns: number
  /** A picture's width, in CSS pixels. */
  readonly shown: number
  /** Each of its pixels is a whole number of the screen's. */
  readonly whole: boolean
}

/** As many columns as leave each picture wide enough. `room` is in CSS pixels. */
function layoutOf({ width, height, count }: Message, room: number): Layout {
  const layoutIn = (columns: number): Layout => {
    const most = Math.min(wantedWidth(width, height, count), (room - GAP * (columns - 1)) / columns)
    return { columns, ...wholeWidth({ width, height }, most) }
  }
  const side = isSmall({ width, height }) || count < 4 ? count : 2
  const layout = layoutIn(side)
  return layout.shown >= MIN_WIDTH || side <= 2 ? layout : layoutIn(2)
}

/** The greatest width up to `most` at which a small picture's pixels stay alike; others are smoothed, so any will do. */
export function wholeWidth(picture: { width: number; height: number }, most: number): Pick<Layout, 'shown' | 'whole'> {
  const times = Math.floor((most * devicePixelRatio) / picture.width)
  if (!isSmall(picture) || times === 0) return { shown: Math.max(0, Math.floor(most)), whole: false }
  return { shown: (times * picture.width) / devicePixelRatio, whole: true }
}

/** About a third of the column for one picture, less for several. */
function wantedWidth(width: number, height: number, count: number): number {
  const side = Math.max(width, height)
  if (isSmall({ width, height })) return (width * (count > 1 ? 256 : 384)) / side
  return (width * (count === 1 ? 448 : 288)) / side
}
