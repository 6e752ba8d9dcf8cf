/** As much of a Redis server as jobs need, on loopback: strings with a time to live, SCAN, a password. */

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export class FakeRedis {
  readonly values = new Map<string, string>()
  /** Milliseconds that each key was given to live. */
  readonly ttls = new Map<string, number>()
  /** Answers every write with this error when set. */
  refusing: string | undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #password: string | undefined

  constructor(password?: string) {
    this.#password = password
    this.#server = createServer((socket) => this.#serve(socket))
  }

  async listen(port = 0): Promise<number> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    let received = ''
    let trusted = this.#password === undefined
    socket.on('data', (data) => {
      received += data.toString('latin1')
      for (let read = readCommand(received); read; read = readCommand(received)) {
        received = read.rest
        const [name = '', ...args] = read.command
        if (name === 'AUTH') trusted = args.at(-1) === this.#password
        socket.write(trusted ? this.#answer(name.toUpperCase(), args) : '-WRONGPASS invalid password\r\n', 'latin1')
      }
    })
  }

  #answer(name: string, [key = '', value = '', ...options]: string[]): string {
    switch (name) {
      case 'SET':
        if (this.refusing) return `-${this.refusing}\r\n`
        this.values.set(key, value)
        if (options[0] === 'PX') this.ttls.set(key, Number(options[1]))
        return '+OK\r\n'
      case 'GET':
        return bulk(this.values.get(key))
      case 'MGET':
        return array([key, value, ...options].filter(Boolean).map((key) => bulk(this.values.get(key))))
      case 'DEL':
      case 'UNLINK':
        return `:${this.values.delete(key) ? 1 : 0}\r\n`
      case 'SCAN': {
        const prefix = options[0]!.replace(/\*$/, '')
        const keys = [...this.values.keys()].filter((key) => key.startsWith(prefix))
        return array([bulk('0'), array(keys.map(bulk))])
      }
      default: // AUTH, CLIENT, PING, QUIT …
        return '+OK\r\n'
    }
  }
}

function bulk(text: string | undefined): string {
  return text === undefined ? '$-1\r\n' : `$${text.length}\r\n${text}\r\n`
}

function array(items: string[]): string {
  return `*${items.length}\r\n${items.join('')}`
}

/** One whole command from the front of what was received; lengths are bytes, and a latin1 character is one. */
function readCommand(received: string): { command: string[]; rest: string } | undefined {
  const head = /^\*(\d+)\r\n/.exec(received)
  if (!head) return undefined
  let at = head[0].length
  const command: string[] = []
  for (let count = Number(head[1]); count > 0; count--) {
    const length = /^\$(\d+)\r\n/.exec(received.slice(at, at + 16))
    if (!length) return undefined
    const start = at + length[0].length
    const end = start + Number(length[1])
    if (received.length < end + 2) return undefined
    command.push(received.slice(start, end))
    at = end + 2
  }
  return { command, rest: received.slice(at) }
}
