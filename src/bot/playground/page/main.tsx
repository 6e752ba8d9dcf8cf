/** The page's beginning. */

import { render } from 'preact'
import { App } from './app.tsx'
import { Chat } from './chat.ts'

render(<App chat={new Chat()} />, document.body)
