/** What an interaction says, as the commands want it. https://discord.com/developers/docs/interactions/receiving-and-responding */

import {
  type APIChatInputApplicationCommandInteraction,
  type APIInteraction,
  type APIMessageComponentInteraction,
  ApplicationIntegrationType,
  InteractionContextType,
  PermissionFlagsBits,
  Routes,
} from 'discord.js'
import type { Commands, Context } from '../../commands/commands.ts'
import type { OptionValue, OptionValues } from '../../commands/options.ts'
import { UserError } from '../../job/errors.ts'
import { REPLY_MS, type Reply } from '../../job/job.ts'
import { createdAt } from './snowflake.ts'

export type CommandInteraction = APIChatInputApplicationCommandInteraction
export type ClickInteraction = APIMessageComponentInteraction

export function contextOf(interaction: CommandInteraction | ClickInteraction): Context {
  const { member, guild_id } = interaction
  const user = member?.user ?? interaction.user!
  return {
    author: { id: user.id, name: member?.nick ?? user.global_name ?? user.username },
    place: {
      platform: 'discord',
      guild: guild_id ?? `dm:${user.id}`,
      channel: channelOf(interaction),
      reply: replyOf(interaction),
      ...(isAbsent(interaction) && { botIsAbsent: true as const }),
    },
  }
}

/** Discord gives the channel's id in two places, and either may be missing. */
export function channelOf({ channel, channel_id }: CommandInteraction | ClickInteraction): string {
  return channel?.id ?? channel_id
}

export function replyOf({ id, token, application_id }: Pick<APIInteraction, 'id' | 'token' | 'application_id'>): Reply {
  const now = Date.now()
  // Its id tells when it was made, unless our clock and Discord's are far apart.
  const until = createdAt(id) + REPLY_MS
  return {
    route: Routes.webhookMessage(application_id, token),
    until: until > now ? Math.min(until, now + REPLY_MS) : now + REPLY_MS,
  }
}

/** People may use the bot where it is no member: in a server that did not install it, and among themselves. */
function isAbsent(interaction: CommandInteraction | ClickInteraction): boolean {
  const { context, guild_id, authorizing_integration_owners: owners } = interaction
  if (context === InteractionContextType.PrivateChannel) return true
  if (guild_id === undefined || !owners) return false
  return (
    owners[ApplicationIntegrationType.UserInstall] !== undefined && !owners[ApplicationIntegrationType.GuildInstall]
  )
}

/** By name. */
export function givenOptions({ data }: CommandInteraction): Map<string, OptionValue> {
  const options = (data.options ?? []) as readonly { name: string; value?: OptionValue }[]
  return new Map(options.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const])))
}

/** Flags may stand in the prompt as well; an option of its own wins. @throws UserError `option` */
export function valuesOf(interaction: CommandInteraction, commands: Commands): OptionValues {
  const { prompt = '', ...given } = Object.fromEntries(givenOptions(interaction))
  return { ...commands.parse(String(prompt)), ...given }
}

/** What was typed, in one line that can be typed again. */
export function lineOf(interaction: CommandInteraction): string {
  const { prompt = '', ...given } = Object.fromEntries(givenOptions(interaction))
  const flags = Object.entries(given).map(([name, value]) => `--${name} ${value}`)
  return [`/${interaction.data.name}`, String(prompt).trim(), ...flags].filter((part) => part !== '').join(' ')
}

/** Better said before the work than after it. No permission at all means that Discord did not tell. */
export function requirePermission({ app_permissions }: CommandInteraction | ClickInteraction): void {
  const permissions = BigInt(app_permissions || 0)
  if (permissions === 0n || permissions & (PermissionFlagsBits.AttachFiles | PermissionFlagsBits.Administrator)) return
  throw new UserError(
    'unavailable',
    'Seedling lacks the permission “Attach Files” in this channel; ask those who run this server to allow it.',
  )
}
