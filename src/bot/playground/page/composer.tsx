/** Where people type: a field that completes commands and options, keeps what was typed, and sends. */

import type { RefObject } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Option } from '../../../commands/options.ts'
import { type Choice, complete, type KnownJob } from './completion.ts'
import { SendIcon } from './icons.tsx'
import { rememberLine, typedLines } from './memory.ts'

interface ComposerProps {
  readonly field: RefObject<HTMLTextAreaElement | null>
  readonly line: string
  readonly options: readonly Option[]
  readonly jobs: readonly KnownJob[]
  readonly onLine: (line: string) => void
  readonly onSend: (line: string) => void
}

const LIST = 'choices'
export function Composer({ field, line, options, jobs, onLine, onSend }: ComposerProps) {
  const [caret, setCaret] = useState(0)
  const [active, setActive] = useState(0)
  /** The line for which the list is open: one that was typed, not one that came from the history or was given back. */
  const [openFor, setOpenFor] = useState<string>()
  /** How many lines back in the history; 0 is what is being typed. */
  const [back, setBack] = useState(0)
  const completion = line === openFor ? complete(line, Math.min(caret, line.length), options, jobs) : undefined
  const choices = completion?.choices ?? []
  const chosen = choices[Math.min(active, choices.length - 1)]

  /** Where the caret stands once the field shows what was written; before the next key, or that goes astray. */
  const caretNext = useRef<number | undefined>(undefined)

  useLayoutEffect(() => fitHeight(field.current!), [line])
  useLayoutEffect(() => {
    const at = caretNext.current
    if (at !== undefined) field.current!.setSelectionRange(at, at)
    caretNext.current = undefined
  })

  const noteCaret = () => setCaret(field.current!.selectionStart)

  const write = (text: string, at = text.length) => {
    onLine(text)
    setCaret(at)
    setActive(0)
    caretNext.current = at
  }

  const accept = (choice: Choice) => {
    const { from, to } = completion!
    const rest = line.slice(to).replace(/^ /u, choice.insert.endsWith(' ') ? '' : ' ')
    const text = line.slice(0, from) + choice.insert + rest
    setOpenFor(text)
    write(text, from + choice.insert.length)
  }

  const send = () => {
    if (line.trim() === '') return
    rememberLine(line)
    setBack(0)
    setOpenFor(undefined)
    write('')
    onSend(line)
  }

  const recall = (to: number) => {
    const lines = typedLines()
    if (to < 0 || to > lines.length) return
    const text = to === 0 ? '' : lines[lines.length - to]!
    setBack(to)
    setOpenFor(undefined)
    write(text)
  }

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return
    const browsing = choices.length === 0 && (line === '' || back > 0) && !event.shiftKey
    const keys: Record<string, (() => void) | undefined | false> = {
      ArrowDown:
        choices.length > 0 ? () => setActive((active + 1) % choices.length) : browsing && (() => recall(back - 1)),
      ArrowUp:
        choices.length > 0
          ? () => setActive((active + choices.length - 1) % choices.length)
          : browsing && (() => recall(back + 1)),
      Tab: chosen && !event.shiftKey && (() => accept(chosen)),
      Enter: !event.shiftKey && (chosen ? () => accept(chosen) : send),
      Escape: completion && (() => setOpenFor(undefined)),
    }
    const act = keys[event.key]
    if (!act) return
    event.preventDefault()
    act()
  }

  const onInput = ({ currentTarget }: { currentTarget: HTMLTextAreaElement }) => {
    setBack(0)
    setActive(0)
    setOpenFor(currentTarget.value)
    setCaret(currentTarget.selectionStart)
    onLine(currentTarget.value)
  }

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      {completion && (
        <div class="completion">
          <p class="completion-title">{completion.title}</p>
          <div id={LIST} role="listbox" aria-label={completion.title}>
            {choices.map((choice) => (
              <Row key={choice.label} choice={choice} chosen={choice === chosen} onAccept={() => accept(choice)} />
            ))}
          </div>
        </div>
      )}
      <div class="field">
        <textarea
          ref={field}
          rows={1}
          value={line}
          maxLength={20_000}
          {...comboboxOf(choices.length > 0)}
          aria-label="What to draw"
          placeholder="Say what to draw · / for commands"
          aria-autocomplete="list"
          aria-controls={LIST}
          aria-activedescendant={chosen && idOf(chosen)}
          autocomplete="off"
          enterkeyhint="send"
          spellcheck={false}
          onInput={onInput}
          onKeyDown={onKeyDown}
          onKeyUp={noteCaret}
          onClick={noteCaret}
          onBlur={() => setOpenFor(undefined)}
        />
        <button type="submit" class="send" aria-label="Send" title="Send" disabled={line.trim() === ''}>
          <SendIcon />
        </button>
      </div>
    </form>
  )
}

function Row({ choice, chosen, onAccept }: { choice: Choice; chosen: boolean; onAccept: () => void }) {
  const { label, description, note } = choice
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the field handles the keys, for the row that is chosen
    <div
      id={idOf(choice)}
      role="option"
      tabIndex={-1}
      aria-selected={chosen}
      ref={(row) => {
        if (chosen) row?.scrollIntoView({ block: 'nearest' })
      }}
      // The field keeps the focus.
      onMouseDown={(event) => event.preventDefault()}
      onClick={onAccept}
    >
      <span class="choice-label">{label}</span>
      <span class="choice-description">{description}</span>
      <span class="choice-note">{note}</span>
    </div>
  )
}

/** Apart, since preact's types know no role but textbox for a field of several lines; screen readers know both. */
function comboboxOf(isOpen: boolean): object {
  return { role: 'combobox', 'aria-haspopup': 'listbox', 'aria-expanded': isOpen }
}

function idOf({ label }: Choice): string {
  return `choice-${label.replace(/[^\w]/gu, '-')}`
}

function fitHeight(field: HTMLTextAreaElement): void {
  field.style.height = 'auto'
  field.style.height = `${field.scrollHeight}px`
}
