/** The package ships these schemas without types. */
declare module 'discord-api-spec/zod' {
  import type { ZodMiniObject } from 'zod/mini'

  export const MessageCreateRequestSchema: ZodMiniObject
  export const MessageEditRequestPartialSchema: ZodMiniObject
  export const CreateMessageInteractionCallbackRequestSchema: ZodMiniObject
  export const UpdateMessageInteractionCallbackRequestSchema: ZodMiniObject
  export const ApplicationCommandAutocompleteCallbackRequestSchema: ZodMiniObject
  export const IncomingWebhookInteractionRequestSchema: ZodMiniObject
  export const IncomingWebhookUpdateForInteractionCallbackRequestPartialSchema: ZodMiniObject
  export const ApplicationCommandUpdateRequestSchema: ZodMiniObject
}
