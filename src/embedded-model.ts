/** Where the model lies that ships with Seedling. */

import { fileURLToPath } from 'node:url'

export const EMBEDDED_MODEL = fileURLToPath(new URL('../models/emoji', import.meta.url))
