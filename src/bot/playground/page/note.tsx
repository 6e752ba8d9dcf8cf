/** Answers that only this visitor sees: what could not be done, and help. */

import type { ComponentChildren } from 'preact'
import type { Option } from '../../../commands/options.ts'
import { COMMANDS, rangeOf } from './completion.ts'
import type { HelpEntry, NoteEntry } from './entries.ts'
import { DeleteIcon, RerollIcon, Sprout } from './icons.tsx'
import { Time } from './time.tsx'

interface NoteProps {
  readonly entry: NoteEntry | HelpEntry
  readonly options: readonly Option[]
  readonly onDismiss: () => void
  /** Takes the refused line up again. */
  readonly onEdit: (line: string) => void
}

export function Note({ entry, options, onDismiss, onEdit }: NoteProps) {
  return (
    <li class="message message-note">
      {entry.kind === 'note' && (
        <p class="asked">
          <span class="asked-line" dir="auto">
            {entry.line}
          </span>
        </p>
      )}
      <div class="face">
        <Sprout />
      </div>
      <article class="said">
        <header>
          <b class="name">Seedling</b>
          <span class="badge">App</span>
          <Time at={entry.time} />
        </header>
        {entry.kind === 'help' ? <Help options={options} /> : <Sentence {...entry} />}
        <p class="only-you">
          Only you can see this ·{' '}
          {entry.kind === 'note' && entry.typed && (
            <>
              <button type="button" class="more" onClick={() => onEdit(entry.line)}>
                Edit
              </button>{' '}
              ·{' '}
            </>
          )}
          <button type="button" class="more" onClick={onDismiss}>
            Dismiss
          </button>
        </p>
      </article>
    </li>
  )
}

/** Flags stay in one piece. */
function Sentence({ text, times }: Pick<NoteEntry, 'text' | 'times'>) {
  const parts = text.split(/(--[\p{L}-]+[,;.]?)/u)
  return (
    <p class="sentence">
      {parts.map((part) => (part.startsWith('--') ? <span class="flag">{part}</span> : part))}
      {times > 1 && <span class="dim"> ({times} times)</span>}
    </p>
  )
}

function Help({ options }: { options: readonly Option[] }) {
  return (
    <div class="help">
      <p>Say what you would like to see; plain words are enough. These are the commands:</p>
      <Table>
        {COMMANDS.map(({ label, description, note }) => (
          <Row key={label} term={`${label} ${note}`} text={description} />
        ))}
      </Table>
      <p>
        Options go behind the prompt, as in <code>a red apple --seed 7 --count 4</code>:
      </p>
      <Table>
        {options
          .filter(({ name }) => name !== 'prompt')
          .map((option) => (
            <Row key={option.name} term={`--${option.name}`} text={option.description} note={limitsOf(option)} />
          ))}
      </Table>
      <p>
        Under each result, <RerollIcon /> draws it again with a new seed, V1–V4 draw variations of a picture and U1–U4 a
        larger one; <DeleteIcon /> deletes it, and Cancel ends what is not finished.
      </p>
    </div>
  )
}

function Table({ children }: { children: ComponentChildren }) {
  return <dl class="help-table">{children}</dl>
}

function Row({ term, text, note = '' }: { term: string; text: string; note?: string }) {
  return (
    <div>
      <dt>
        <code>{term.trim()}</code>
      </dt>
      <dd>
        {text} {note && <span class="dim">{note}</span>}
      </dd>
    </div>
  )
}

function limitsOf(option: Option): string {
  return [rangeOf(option), option.default && `default: ${option.default}`].filter(Boolean).join(' · ')
}
