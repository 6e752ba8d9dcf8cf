/** The whole page: the head, the messages, the field, and the picture that is looked at. */

import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks'
import type { Chat } from './chat.ts'
import { Composer } from './composer.tsx'
import { Deleted } from './deleted.tsx'
import type { DeletedEntry, Entry, JobEntry } from './entries.ts'
import { DownIcon, Sprout } from './icons.tsx'
import { MessageItem } from './message.tsx'
import { Note } from './note.tsx'
import { Viewer } from './viewer.tsx'
import { Welcome } from './welcome.tsx'

/** Nearer than this to the end, in pixels, the view stays at the end. */
const NEAR_END = 120

export function App({ chat }: { chat: Chat }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0)
  const [line, setLine] = useState('')
  const [looking, setLooking] = useState<{ job: string; index: number }>()
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    const unsubscribe = chat.subscribe(() => redraw(undefined as never))
    void chat.start()
    return unsubscribe
  }, [chat])
  useEffect(() => focusUnlessTouch(field.current!), [])
  useTypingAnywhere(field)

  const { entries, session } = chat
  const options = session?.options ?? []
  const messages = entries.flatMap((entry) => (entry.kind === 'job' ? [entry.message] : []))
  const looked = messages.find(({ job }) => job === looking?.job)

  const send = async (text: string) => {
    // What was refused goes back to where it can be corrected, unless something else is being typed by now.
    if (!(await chat.send(text))) setLine((typed) => typed || text)
  }
  const edit = (text: string) => {
    setLine(text)
    field.current!.focus()
  }

  const dismiss = (key: string) => {
    chat.dismiss(key)
    focusUnlessTouch(field.current!)
  }
  const messageOf = ({ key, message }: JobEntry) => (
    <MessageItem
      key={key}
      message={message}
      shown={key === chat.shown?.job}
      restored={key === chat.restored}
      lost={chat.connection === 'lost'}
      onPress={(id, name) => chat.press(id, name)}
      onOpen={(index) => setLooking({ job: key, index })}
      onEdit={edit}
      onShow={(job) => chat.send(`/show ${job}`)}
    />
  )
  const deletedOf = (entry: DeletedEntry) => (
    <Deleted
      key={`deleted-${entry.key}`}
      entry={entry}
      onUndo={() => chat.undo(entry.key)}
      onOutOfView={() => chat.dismiss(entry.key)}
    />
  )

  return (
    <>
      <header class="head">
        <span class="face">
          <Sprout />
        </span>
        <h1>Seedling</h1>
        {session && <p class="model">draws with {session.model}</p>}
        <p class="connection" role="status">
          {chat.connection === 'lost' && 'Reconnecting…'}
        </p>
      </header>
      <Scroll entries={entries} shown={chat.shown}>
        {chat.empty && <Welcome onExample={send} />}
        <ol class="messages" aria-label="Messages">
          {entries.map((entry) => {
            if (entry.kind === 'job') return messageOf(entry)
            if (entry.kind === 'deleted') return deletedOf(entry)
            return (
              <Note
                key={entry.key}
                entry={entry}
                options={options}
                onDismiss={() => dismiss(entry.key)}
                onEdit={edit}
              />
            )
          })}
        </ol>
      </Scroll>
      <footer class="foot">
        <Composer field={field} line={line} options={options} jobs={messages} onLine={setLine} onSend={send} />
      </footer>
      <p class="unseen" role="status" aria-live="polite">
        {chat.announcement}
      </p>
      {looked && (
        <Viewer
          message={looked}
          index={looking!.index}
          onMove={(index) => setLooking({ job: looked.job, index })}
          onClose={() => setLooking(undefined)}
        />
      )}
    </>
  )
}

interface ScrollProps {
  readonly entries: readonly Entry[]
  readonly shown: { readonly job: string } | undefined
  readonly children: preact.ComponentChildren
}

/** Stays at the end while new things come, unless somebody reads further up. */
function Scroll({ entries, shown, children }: ScrollProps) {
  const area = useRef<HTMLElement>(null)
  const atEnd = useRef(true)
  const [away, setAway] = useState(false)
  const toEnd = () => {
    atEnd.current = true
    area.current!.scrollTop = area.current!.scrollHeight
  }
  useLayoutEffect(toEnd, [entries.at(-1)?.key])
  useLayoutEffect(() => {
    if (atEnd.current) toEnd()
  })
  useEffect(() => {
    if (!shown) return
    atEnd.current = false
    document.getElementById(`job-${shown.job}`)?.scrollIntoView({ block: 'center' })
  }, [shown])
  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = area.current!
    atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END
    setAway(!atEnd.current)
  }
  return (
    <main ref={area} class="scroll" onScroll={onScroll}>
      {children}
      {away && (
        <button type="button" class="to-end" onClick={toEnd}>
          <DownIcon /> Newest
        </button>
      )}
    </main>
  )
}

/** A touch screen would cover half the page with its keyboard. */
function focusUnlessTouch(field: HTMLTextAreaElement): void {
  if (matchMedia('(hover: hover)').matches) field.focus()
}

/** A letter typed while nothing has the focus goes to the field, as in every chat. */
function useTypingAnywhere(field: { readonly current: HTMLTextAreaElement | null }): void {
  useEffect(() => {
    const onKeyDown = ({ key, ctrlKey, metaKey, altKey }: KeyboardEvent) => {
      if (
        key.length === 1 &&
        key !== ' ' &&
        !ctrlKey &&
        !metaKey &&
        !altKey &&
        document.activeElement === document.body
      ) {
        field.current!.focus()
      }
    }
    document.addEventListener('keydown', onKeyDown)
    return () => document.removeEventListener('keydown', onKeyDown)
  }, [])
}
