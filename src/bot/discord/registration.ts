/** Seedling's commands as Discord registers them, derived from the options of `/imagine`. */

import {
  type APIApplicationCommandBasicOption,
  ApplicationCommandOptionType,
  ApplicationCommandType,
  ApplicationIntegrationType,
  InteractionContextType,
  type RESTPutAPIApplicationCommandsJSONBody,
} from 'discord.js'
import type { Option } from '../../commands/options.ts'

export function commandsOf(options: readonly Option[]): RESTPutAPIApplicationCommandsJSONBody {
  const everywhere = {
    type: ApplicationCommandType.ChatInput as const,
    contexts: [InteractionContextType.Guild, InteractionContextType.BotDM, InteractionContextType.PrivateChannel],
    integration_types: [ApplicationIntegrationType.GuildInstall, ApplicationIntegrationType.UserInstall],
  }
  return [
    {
      name: 'imagine',
      description: 'Draw pictures of what you describe',
      options: options.map(optionOf),
      ...everywhere,
    },
    {
      name: 'show',
      description: 'Show a job again',
      options: [
        {
          type: ApplicationCommandOptionType.String,
          name: 'job',
          description: 'The number that stands under its pictures, or a link to its message',
          required: true,
          max_length: 120,
        },
      ],
      ...everywhere,
    },
  ]
}

function optionOf(option: Option): APIApplicationCommandBasicOption {
  const { name, type, description, required = false, min, max, maxLength, suggestions } = option
  const common = { name, description, required }
  const range = { ...(min !== undefined && { min_value: min }), ...(max !== undefined && { max_value: max }) }
  switch (type) {
    case 'integer':
      return { ...common, ...range, type: ApplicationCommandOptionType.Integer }
    case 'number':
      return { ...common, ...range, type: ApplicationCommandOptionType.Number }
    case 'boolean':
      return { ...common, type: ApplicationCommandOptionType.Boolean }
    case 'string':
      return {
        ...common,
        type: ApplicationCommandOptionType.String,
        ...(maxLength !== undefined && { max_length: maxLength }),
        ...(suggestions && { autocomplete: true as const }),
      }
  }
}
