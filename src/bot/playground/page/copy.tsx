/** A button that copies text and says that it did. */

import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { DoneIcon } from './icons.tsx'

const SHOWN_MS = 1600

export function CopyButton({ text, label, children }: { text: string; label: string; children: ComponentChildren }) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [copied])
  const said = copied ? 'Copied' : label
  return (
    <button type="button" class="tool" aria-label={said} title={said} onClick={async () => setCopied(await copy(text))}>
      {copied ? <DoneIcon /> : children}
    </button>
  )
}

/** The clipboard's interface exists on https and localhost alone; elsewhere a selection does. */
async function copy(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    )
  }
  const field = document.createElement('textarea')
  field.value = text
  document.body.append(field)
  field.select()
  const copied = document.execCommand('copy')
  field.remove()
  return copied
}
