/** How `seedling imagine` says what it does: a bar on a terminal, plain lines in a pipe, JSON for programs. */

import { clearLine, cursorTo } from 'node:readline'
import type { WriteStream } from 'node:tty'
import type { Parameters } from '../engine/images/parameters.ts'

/** One picture that was written. */
export interface Written {
  readonly file: string
  readonly parameters: Parameters
  readonly nsfw: boolean
}

export interface Output {
  /** `fraction` of the picture that is being drawn, 0..1. */
  progress(fraction: number): void
  written(picture: Written): void
  /** Nothing more comes; `count` pictures were written. */
  close(): void
}

export function jsonOutput(stream: NodeJS.WritableStream): Output {
  return {
    progress() {},
    written({ file, parameters, nsfw }) {
      stream.write(`${JSON.stringify({ file, ...parameters, nsfw })}\n`)
    },
    close() {},
  }
}

export function lineOutput(stream: NodeJS.WritableStream): Output {
  return {
    progress() {},
    written({ file, parameters }) {
      stream.write(`${file}  seed ${seedText(parameters)}  ${parameters.width}x${parameters.height}\n`)
    },
    close() {},
  }
}

/** Redrawn no more often than an eye follows. */
const REDRAW_MS = 100

/** One line that is drawn over, gone at the end. */
export function barOutput(stream: WriteStream, count: number): Output {
  const startedAt = performance.now()
  let [done, drawnAt] = [0, Number.NEGATIVE_INFINITY]
  const draw = (fraction: number) => {
    const now = performance.now()
    if (now - drawnAt < REDRAW_MS) return
    drawnAt = now
    const part = (done + fraction) / count
    const left = part > 0 ? `  ${duration(((now - startedAt) * (1 - part)) / part)} left` : ''
    cursorTo(stream, 0)
    stream.write(`${bar(part)} ${String(Math.floor(part * 100)).padStart(3)} %  ${done} of ${count}${left}`)
    clearLine(stream, 1)
  }
  draw(0)
  return {
    progress: draw,
    written() {
      done++
      draw(0)
    },
    close() {
      cursorTo(stream, 0)
      clearLine(stream, 1)
    },
  }
}

function bar(part: number): string {
  const width = 30
  const full = Math.round(part * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

function seedText({ seed, variations }: Parameters): string {
  return [seed, ...variations.map((variation) => variation.seed)].join(' → ')
}

/** How far the files of a download are: a bar on a terminal, a line a file elsewhere. */
export interface FilesOutput {
  loaded(file: string, bytes: number, total: number): void
  /** A sentence between. */
  say(sentence: string): void
  close(): void
}

export function ofFiles(stream: NodeJS.WriteStream): FilesOutput {
  let [current, drawnAt] = ['', Number.NEGATIVE_INFINITY]
  const clear = () => {
    if (!stream.isTTY || current === '') return
    cursorTo(stream, 0)
    clearLine(stream, 0)
  }
  return {
    loaded(file, bytes, total) {
      if (!stream.isTTY) {
        if (file !== current) stream.write(`${file}  ${gigabytes(total)}\n`)
        current = file
        return
      }
      const now = performance.now()
      if (now - drawnAt < REDRAW_MS && bytes < total) return
      ;[current, drawnAt] = [file, now]
      const part = total === 0 ? 1 : bytes / total
      cursorTo(stream, 0)
      stream.write(`${bar(part)} ${String(Math.floor(part * 100)).padStart(3)} %  ${gigabytes(total)}  ${file}`)
      clearLine(stream, 1)
    },
    say(sentence) {
      clear()
      stream.write(`${sentence}\n`)
    },
    close: clear,
  }
}

/** 4.27 GB, 31.9 MB. */
export function gigabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`
}
