/** What the page asks of its server; every refusal is an error with one sentence for the person. */

import type { Failure, Message, Session } from '../message.ts'

export class Refusal extends Error {
  readonly status: number

  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

export const login = (password: string): Promise<void> => post('/api/login', { password })
export const openSession = (): Promise<Session> => post('/api/session', {})
export const imagine = (text: string): Promise<Message> => post('/api/imagine', { text })
export const show = (job: string): Promise<Message> => ask(`/api/jobs/${encodeURIComponent(job)}`)
/** What a button means; gives the new job where there is one. It is done even if the page is left meanwhile. */
export const act = (id: string): Promise<Message | undefined> => post('/api/act', { id }, { keepalive: true })

function post<Answer>(path: string, body: unknown, init: RequestInit = {}): Promise<Answer> {
  const headers = { 'content-type': 'application/json' }
  return ask(path, { ...init, method: 'POST', headers, body: JSON.stringify(body) })
}

async function ask<Answer>(path: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(path, init).catch(() => {
    throw new Error('Seedling cannot be reached just now; it was not sent. Try again in a moment.')
  })
  if (response.status === 204) return undefined as Answer
  const answer = await response.json().catch(() => ({ error: 'Something in between failed; please try again.' }))
  if (!response.ok) throw new Refusal((answer as Failure).error, response.status)
  return answer
}
