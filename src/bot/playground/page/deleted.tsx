/** What stands in a deleted message's place: it can be taken back for a while, and nothing moves up under the pointer. */

import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import type { DeletedEntry } from './entries.ts'
import { useHandedOnFocus } from './focus.ts'

interface DeletedProps {
  readonly entry: DeletedEntry
  readonly onUndo: () => void
  /** Nobody sees the place any more. */
  readonly onOutOfView: () => void
}

export function Deleted({ entry: { height, prompt, undoable }, onUndo, onOutOfView }: DeletedProps) {
  const place = useRef<HTMLLIElement>(null)
  useEffect(() => {
    if (undoable) return
    const observer = new IntersectionObserver(([seen]) => seen!.isIntersecting || onOutOfView())
    observer.observe(place.current!)
    return () => observer.disconnect()
  }, [undoable])
  useHandedOnFocus(place, () => document.querySelector('textarea'))
  return (
    <li ref={place} class="message-deleted" style={{ minHeight: `${height}px` }} tabIndex={-1}>
      <p>
        <span class="deleted-prompt" dir="auto">
          Deleted: {prompt}
        </span>
        {undoable && <Undo onUndo={onUndo} />}
      </p>
    </li>
  )
}

/** Takes the focus over from the button that was pressed, which is gone with its message. */
function Undo({ onUndo }: { onUndo: () => void }) {
  const button = useRef<HTMLButtonElement>(null)
  useLayoutEffect(() => button.current!.focus({ preventScroll: true }), [])
  useHandedOnFocus(button, (left) => left.closest('li'))
  return (
    <button ref={button} type="button" class="button" onClick={onUndo}>
      Undo
    </button>
  )
}
