/**
 * Slack on loopback: a workspace with people, the Web API and Socket Mode. Everything that the bot sends is checked;
 * what breaks a rule gets Slack's error and stands in `violations`.
 */

import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { type Delivery, HttpDelivery, SocketDelivery } from './delivery.ts'
import { Person } from './person.ts'
import type { Method } from './rules.ts'
import { type Fault, WebApi } from './web-api.ts'
import { type Channel, type Message, Workspace } from './workspace.ts'

const MANIFEST = new URL('../../../deploy/slack-manifest.json', import.meta.url)

export interface Manifest {
  readonly features: {
    readonly shortcuts: { readonly callback_id: string; readonly type: string }[]
    readonly slash_commands: { readonly command: string }[]
  }
  readonly oauth_config: { readonly scopes: { readonly bot: string[] } }
}

/** The app has just what its manifest asks for: commands, shortcuts and scopes. */
export async function startFakeSlack(): Promise<FakeSlack> {
  const manifest = JSON.parse(await readFile(MANIFEST, 'utf8')) as Manifest
  const slack = new FakeSlack(manifest)
  await slack.start()
  return slack
}

export class FakeSlack {
  readonly botToken = 'xoxb-1-2-fakefakefake'
  readonly appToken = 'xapp-1-A0-3-fakefakefake'
  readonly signingSecret = 'fake0123456789fake0123456789fake'
  readonly workspace = new Workspace()
  readonly api: WebApi
  readonly commands: readonly string[]
  readonly shortcuts: readonly string[]
  /** The bot is in it, and everybody types here unless they say otherwise. */
  readonly general: Channel
  /** A public channel without the bot. */
  readonly random: Channel
  /** A private channel without the bot. */
  readonly secret: Channel
  readonly #credentials
  readonly #server: Server
  readonly #sockets: WebSocketServer
  readonly #socketDelivery: SocketDelivery
  #delivery: Delivery
  #read = 0

  constructor({ features, oauth_config }: Manifest) {
    const { botToken, appToken } = this
    this.#credentials = { botToken, appToken, scopes: oauth_config.scopes.bot as readonly string[] }
    this.commands = features.slash_commands.map(({ command }) => command)
    this.shortcuts = features.shortcuts.filter(({ type }) => type === 'global').map(({ callback_id }) => callback_id)
    this.api = new WebApi(this.workspace, this.#credentials)
    this.general = this.workspace.addChannel('general', 'public', true)
    this.random = this.workspace.addChannel('random', 'public', false)
    this.secret = this.workspace.addChannel('secret', 'private', false)
    this.#server = createServer((request, response) => void this.api.handle(request, response))
    this.#sockets = new WebSocketServer({ server: this.#server, path: '/socket' })
    this.#socketDelivery = new SocketDelivery(this.#sockets, () => this.workspace.changed())
    this.#delivery = this.#socketDelivery
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.api.origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** For `SLACK_API_URL`. */
  get apiUrl(): string {
    return `${this.api.origin}/api/`
  }

  get delivery(): Delivery {
    return this.#delivery
  }

  /** Open websockets of the app. */
  get connections(): number {
    return this.#socketDelivery.connections
  }

  /** Everything that the bot did against Slack's rules. */
  get violations(): readonly string[] {
    return this.api.violations
  }

  /** The messages that stand for everybody to see. */
  get messages(): readonly Message[] {
    return this.workspace.messages.filter(({ isDeleted, onlyFor }) => !isDeleted && !onlyFor)
  }

  /** Another `teamId` makes a guest from another workspace, over Slack Connect. */
  person(name: string, teamId = this.workspace.team.id): Person {
    const user = { id: `U${String(this.workspace.next()).padStart(8, '0')}`, name, teamId }
    this.workspace.users.set(user.id, user)
    return new Person(this, user, this.general)
  }

  /** The next message that the bot posts, in the order of posting. */
  async nextMessage(): Promise<Message> {
    const posted = () => this.workspace.messages.filter(({ onlyFor }) => !onlyFor)
    const message = await this.workspace.until(
      () => posted()[this.#read],
      () => 'a message',
    )
    this.#read++
    return message
  }

  /** Events go to `url` as signed requests from now on. */
  overHttp(url: string): HttpDelivery {
    const delivery = new HttpDelivery(url, this.signingSecret)
    this.#delivery = delivery
    return delivery
  }

  /** Slack asks the app to connect anew; resolves when it did. */
  async refreshes(): Promise<void> {
    await this.#socketDelivery.refresh()
  }

  /** The app's websocket carries something that is no event. */
  sendsGarbage(text: string): void {
    this.#socketDelivery.garbage(text)
  }

  /** The connections of the app end. */
  disconnects(): void {
    this.#socketDelivery.disconnect()
  }

  /** The next calls of `method` get these answers. */
  fails(method: Method, ...faults: Fault[]): void {
    this.api.fail(method, ...faults)
  }

  /** The app was installed with these scopes alone. */
  grants(...scopes: string[]): void {
    this.#credentials.scopes = scopes
  }

  /** The calls of `method` so far. */
  calls(method: Method): readonly Record<string, string>[] {
    return this.api.calls.filter((call) => call.method === method).map(({ args }) => args)
  }
}
