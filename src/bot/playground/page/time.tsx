/** When something was said, as people say it. */

export function Time({ at }: { at: number }) {
  const date = new Date(at)
  return (
    <time dateTime={date.toISOString()} title={date.toLocaleString()}>
      {inWords(date)}
    </time>
  )
}

function inWords(date: Date): string {
  const clock = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  const days = Math.round((midnight(new Date()) - midnight(date)) / 86_400_000)
  if (days === 0) return `Today at ${clock}`
  if (days === 1) return `Yesterday at ${clock}`
  return `${date.toLocaleDateString()} ${clock}`
}

function midnight(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()
}
