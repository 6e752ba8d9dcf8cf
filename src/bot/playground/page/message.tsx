/** One job as a message: who asked for what, how it goes, its pictures and its buttons. */

import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { ViewAction } from '../../view.ts'
import type { Message } from '../message.ts'
import { CopyButton } from './copy.tsx'
import { useHandedOnFocus } from './focus.ts'
import { CopyIcon, DeleteIcon, EditIcon, RerollIcon, Sprout } from './icons.tsx'
import { Pictures } from './pictures.tsx'
import { Time } from './time.tsx'

export interface MessageProps {
  readonly message: Message
  /** The message that somebody asked to see. */
  readonly shown: boolean
  /** It stands here again, in place of the button that brought it back. */
  readonly restored: boolean
  /** The page hears of nothing just now. */
  readonly lost: boolean
  readonly onPress: (id: string, line: string) => Promise<unknown>
  readonly onOpen: (index: number) => void
  readonly onEdit: (line: string) => void
  readonly onShow: (job: string) => void
}

export function MessageItem({ message, shown, restored, lost, onPress, onOpen, onEdit, onShow }: MessageProps) {
  const [marked, setMarked] = useState<number>()
  const said = useRef<HTMLElement>(null)
  useLayoutEffect(() => {
    if (restored) said.current!.focus({ preventScroll: true })
  }, [restored])
  const isPaused = lost && (message.state === 'queued' || message.state === 'running')
  const { job, state, authorName, prompt, negativePrompt, status, time, asked, parent } = message
  return (
    <li
      id={`job-${job}`}
      class={`message message-${state}${shown ? ' message-shown' : ''}${isPaused ? ' message-paused' : ''}`}
    >
      <p class="asked">
        <Avatar name={authorName} />
        <b>{authorName}</b>
        {parent === undefined ? (
          <>
            used <Asked asked={asked} />
          </>
        ) : (
          <>
            pressed <Asked asked={asked} /> under
            <button type="button" class="more" onClick={() => onShow(parent)}>
              an earlier job
            </button>
          </>
        )}
      </p>
      <div class="face">
        <Sprout />
      </div>
      <article ref={said} class="said" tabIndex={-1} aria-label={`Seedling: ${prompt.slice(0, 120)}`}>
        <header>
          <b class="name">Seedling</b>
          <span class="badge">App</span>
          <Time at={time} />
        </header>
        <Prompt text={prompt} />
        {negativePrompt !== '' && (
          <p class="without" dir="auto">
            <span>without</span> {negativePrompt}
          </p>
        )}
        <Pictures message={message} marked={marked} onOpen={onOpen} />
        <div class="status-line">
          <p class="status">{isPaused ? 'Goes on when Seedling is back' : status}</p>
          <Tools message={message} onEdit={onEdit} />
        </div>
        <Progress message={message} />
        {state === 'done' && <Parameters message={message} />}
        <Actions message={message} onPress={onPress} onMark={setMarked} />
      </article>
    </li>
  )
}

/** Not every device has a font with the labels that chats show. */
const ICONS: Readonly<Record<string, () => ComponentChildren>> = { '🔄': RerollIcon, '🗑': DeleteIcon }

function Asked({ asked }: { asked: string }) {
  const LabelIcon = ICONS[asked]
  if (!LabelIcon) return <span class="command">{asked}</span>
  return (
    <span class="command" role="img" aria-label="Draw again">
      <LabelIcon />
    </span>
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
  const groups = [...Map.groupBy(message.actions, ({ action }) => action).entries()]
  if (groups.length === 0) return null
  return (
    <fieldset class="actions" aria-label="Actions">
      {groups.map(([kind, actions]) => (
        <span key={kind} class={`actions-group action-${kind}`}>
          {actions.map((action) => (
            <ActionButton key={action.id} action={action} onPress={onPress} onMark={onMark} />
          ))}
        </span>
      ))}
    </fieldset>
  )
}

interface ActionButtonProps extends Omit<ActionsProps, 'message'> {
  readonly action: ViewAction
}

function ActionButton({ action: { id, action, label, description }, onPress, onMark }: ActionButtonProps) {
  const [busy, setBusy] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  useHandedOnFocus(button, (left) => left.closest('article'))
  const index = action === 'vary' || action === 'upscale' ? Number(id.split(':')[1]) : undefined
  const LabelIcon = ICONS[label]
  const press = async () => {
    if (busy) return
    setBusy(true)
    await onPress(id, label)
    setBusy(false)
  }
  return (
    <button
      ref={button}
      type="button"
      class="action"
      title={description}
      aria-label={description}
      aria-busy={busy}
      // A button that is disabled would lose the focus.
      aria-disabled={busy}
      onClick={press}
      onMouseEnter={() => onMark(index)}
      onMouseLeave={() => onMark(undefined)}
      onFocus={() => onMark(index)}
      onBlur={() => onMark(undefined)}
    >
      {LabelIcon ? <LabelIcon /> : label}
    </button>
  )
}
