/** Where the focus goes when what has it leaves the page: left alone it falls to the body, and the place is lost. */

import type { RefObject } from 'preact'
import { useLayoutEffect } from 'preact/hooks'

/** @param heir what takes it, asked when the element leaves */
export function useHandedOnFocus(
  element: RefObject<HTMLElement | null>,
  heir: (left: HTMLElement) => HTMLElement | null,
): void {
  useLayoutEffect(() => {
    const left = element.current!
    return () => {
      if (document.activeElement === left) heir(left)?.focus()
    }
  }, [])
}
