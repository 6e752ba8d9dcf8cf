/** The page's few drawings; each stands beside words or carries a label where it is used. */

import type { ComponentChildren } from 'preact'

/** A seedling: the program's face. */
export function Sprout() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" class="sprout">
      <path class="sprout-stem" d="M16 27V15" />
      <path class="sprout-leaf" d="M16 16.200c0-4.600-3.200-7.700-9.400-8C7 13.600 10.300 16.500 16 16.200Z" />
      <path
        class="sprout-leaf sprout-leaf-right"
        d="M16 19.200c0-4.300 3-7.100 9-7.400C24.700 16.800 21.700 19.500 16 19.200Z"
      />
    </svg>
  )
}

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg viewBox="0 0 20 20" aria-hidden="true" class="icon">
      {children}
    </svg>
  )
}

export const CopyIcon = () => (
  <Icon>
    <rect x="7" y="7" width="9.500" height="9.500" rx="2" />
    <path d="M13 7V5.500a2 2 0 0 0-2-2H5.500a2 2 0 0 0-2 2V11a2 2 0 0 0 2 2H7" />
  </Icon>
)

export const DoneIcon = () => (
  <Icon>
    <path d="m4.500 10.500 3.700 3.700 7.300-8" />
  </Icon>
)

export const EditIcon = () => (
  <Icon>
    <path d="m12.500 4.500 3 3L7 16H4v-3l8.500-8.500Z" />
  </Icon>
)

export const SendIcon = () => (
  <Icon>
    <path d="M10 16V4.500M5 9.300 10 4.300l5 5" />
  </Icon>
)

export const CloseIcon = () => (
  <Icon>
    <path d="m5 5 10 10M15 5 5 15" />
  </Icon>
)

export const DownloadIcon = () => (
  <Icon>
    <path d="M10 3.500v9M6 9l4 4 4-4M4 16.500h12" />
  </Icon>
)

export const BackIcon = () => (
  <Icon>
    <path d="m12.500 4-6 6 6 6" />
  </Icon>
)

export const ForwardIcon = () => (
  <Icon>
    <path d="m7.500 4 6 6-6 6" />
  </Icon>
)

export const DownIcon = () => (
  <Icon>
    <path d="M10 4v11.500M5 10.700l5 5 5-5" />
  </Icon>
)

export const RerollIcon = () => (
  <Icon>
    <path d="M16 10a6 6 0 1 1-1.900-4.400L16 7.300" />
    <path d="M16 3.500v3.800h-3.800" />
  </Icon>
)

export const DeleteIcon = () => (
  <Icon>
    <path d="M3.500 5.500h13M8 5.500V4a1 1 0 0 1 1-1h2a1 1 0 0 1 1 1v1.500" />
    <path d="m5 5.500.700 10a1.500 1.500 0 0 0 1.500 1.500h5.600a1.500 1.500 0 0 0 1.500-1.500l.700-10M8.300 8.700v5M11.700 8.700v5" />
  </Icon>
)
