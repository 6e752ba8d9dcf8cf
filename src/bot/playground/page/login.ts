/** The login: sends what was typed, and opens the page where it was right. */

import { login } from './api.ts'

const form = document.querySelector('form')!
const field = form.querySelector('input')!
const sentence = form.querySelector('[role="alert"]')!

field.focus()
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  try {
    await login(field.value)
    location.reload()
  } catch (error) {
    sentence.textContent = (error as Error).message
    field.select()
  }
})
