/** One job as a message: who asked for what, how it goes, its pictures and its buttons. */

import { useState } from 'preact/hooks'
import type { Message } from '../message.ts'
import { CopyButton } from './copy.tsx'
import { CopyIcon, EditIcon, Sprout } from './icons.tsx'
import { Pictures } from './pictures.tsx'
import { Time } from './time.tsx'

export interface MessageProps {
  readonly message: Message
  /** The message that somebody asked to see. */
  readonly shown: boolean
  readonly onPress: (id: string, line: string) => Promise<unknown>
  readonly onOpen: (index: number) => void
  readonly onEdit: (line: string) => void
  readonly onShow: (job: string) => void
}

export function MessageItem({ message, shown, onPress, onOpen, onEdit, onShow }: MessageProps) {
  const [marked, setMarked] = useState<number>()
  const { job, state, authorName, prompt, negativePrompt, status, time, asked, parent } = message
  return (
    <li id={`job-${job}`} class={`message message-${state}${shown ? ' message-shown' : ''}`}>
      <p class="asked">
        <Avatar name={authorName} />
        <b>{authorName}</b>
        {parent === undefined ? (
          <>
            used <span class="command">{asked}</span>
          </>
        ) : (
          <>
            pressed <span class="command">{asked}</span> under
            <button type="button" class="more" onClick={() => onShow(parent)}>
              an earlier job
            </button>
          </>
        )}
      </p>
      <div class="face">
        <Sprout />
      </div>
      <article class="said" aria-label={`Seedling: ${prompt.slice(0, 120)}`}>
        <header>
          <b class="name">Seedling</b>
          <span class="badge">App</span>
          <Time at={time} />
          <Tools message={message} onEdit={onEdit} />
        </header>
        <Prompt text={prompt} />
        {negativePrompt !== '' && (
          <p class="without" dir="auto">
            <span>without</span> {negativePrompt}
          </p>
        )}
        <Pictures message={message} marked={marked} onOpen={onOpen} />
        <p class="status">{status}</p>
        <Progress message={message} />
        {state === 'done' && <Parameters message={message} />}
        <Actions message={message} onPress={onPress} onMark={setMarked} />
      </article>
    </li>
  )
}

export function Avatar({ name }: { name: string }) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)!) % 360, 7)
  return (
    <span class="avatar" style={{ '--hue': String(hue) }} aria-hidden="true">
      {[...name][0]}
    </span>
  )
}

/** About as much as five lines hold. */
const LONG = 420

function Prompt({ text }: { text: string }) {
  const [open, setOpen] = useState(false)
  const folded = text.length > LONG && !open
  return (
    <>
      <p class={`prompt${text.length > LONG ? ' prompt-long' : ''}${folded ? ' prompt-folded' : ''}`} dir="auto">
        {text}
      </p>
      {folded && (
        <button type="button" class="more" onClick={() => setOpen(true)}>
          Show all {text.length} characters
        </button>
      )}
    </>
  )
}

function Progress({ message: { state, fraction, prompt } }: { message: Message }) {
  if (fraction === undefined) return null
  const label = `${state === 'queued' ? 'Waiting' : 'Drawing'}: ${prompt.slice(0, 80)}`
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(fraction * 100)}
    >
      <div class="progress-bar" style={{ transform: `scaleX(${fraction})` }} />
    </div>
  )
}

function Parameters({ message }: { message: Message }) {
  return (
    <ul class="parameters" aria-label="Parameters">
      {message.parameters.map(({ name, value }) => (
        <li key={name}>
          <span>{name}</span> {value}
        </li>
      ))}
    </ul>
  )
}

function Tools({ message: { command }, onEdit }: { message: Message; onEdit: (line: string) => void }) {
  return (
    <span class="tools">
      {command && (
        <>
          <CopyButton text={command} label="Copy the command">
            <CopyIcon />
          </CopyButton>
          <button
            type="button"
            class="tool"
            aria-label="Edit and draw again"
            title="Edit and draw again"
            onClick={() => onEdit(command)}
          >
            <EditIcon />
          </button>
        </>
      )}
    </span>
  )
}

interface ActionsProps {
  readonly message: Message
  readonly onPress: (id: string, line: string) => Promise<unknown>
  readonly onMark: (index: number | undefined) => void
}

/** The buttons, those of a kind together; one that is about a picture marks it while it is pointed at. */
function Actions({ message, onPress, onMark }: ActionsProps) {
  const [busy, setBusy] = useState<string>()
  const groups = [...Map.groupBy(message.actions, ({ action }) => action).entries()]
  if (groups.length === 0) return null
  const press = async (id: string, line: string) => {
    setBusy(id)
    await onPress(id, line)
    setBusy(undefined)
  }
  return (
    <fieldset class="actions" aria-label="Actions">
      {groups.map(([kind, actions]) => (
        <span key={kind} class={`actions-group action-${kind}`}>
          {actions.map(({ id, label, description }) => {
            const index = kind === 'vary' || kind === 'upscale' ? Number(id.split(':')[1]) : undefined
            return (
              <button
                key={id}
                type="button"
                class="action"
                title={description}
                aria-label={description}
                aria-busy={busy === id}
                disabled={busy === id}
                onClick={() => press(id, label)}
                onMouseEnter={() => onMark(index)}
                onMouseLeave={() => onMark(undefined)}
                onFocus={() => onMark(index)}
                onBlur={() => onMark(undefined)}
              >
                {label}
              </button>
            )
          })}
        </span>
      ))}
    </fieldset>
  )
}
