/** From a `scheduler_config.json`, of this class or of another, to the complete config of one class. */

import { EngineError } from '../errors.ts'
import type { SchedulerConfig } from './scheduler.ts'

/**
 * The class's defaults under the given keys. As in diffusers (`configuration_utils.py`), keys that the class does not know
 * are carried along, and values that were only the other class's defaults (its `_use_default_values`) are not. What a
 * scheduler of the class has for its config is its own completion: each sampling's scheduler is made from one.
 *
 * @throws EngineError 'argument' when a key has another type than the class's default.
 */
export function completeConfig<Defaults extends SchedulerConfig>(
  className: string,
  defaults: Defaults,
  given: SchedulerConfig,
): Defaults & SchedulerConfig {
  if (settingsByConfig.has(given) && given._class_name === className) return given as Defaults & SchedulerConfig
  const unset = Array.isArray(given._use_default_values) ? given._use_default_values : []
  const own = Object.fromEntries(
    Object.entries(given).filter(([key, value]) => value !== undefined && !unset.includes(key)),
  )
  for (const [key, value] of Object.entries(own)) {
    const fallback = defaults[key]
    if (value !== null && fallback != null && kind(value) !== kind(fallback))
      throw new EngineError(
        'argument',
        `${className}: ${key} is ${JSON.stringify(value)} but must be a ${kind(fallback)}.`,
      )
  }
  return Object.freeze({
    ...defaults,
    ...own,
    _class_name: className,
    _use_default_values: Object.keys(defaults).filter((key) => !Object.hasOwn(own, key)),
  })
}

/**
 * What a class reads of its config: the keys that it knows, so that a key carried along for another class has no effect. A
 * null is a switch that is off, as in Python, and elsewhere the default: classes save null for what others have a value for.
 */
export type Settings<Defaults> = Defaults & { readonly _class_name: string }

/** @param config Complete: one object of settings stands for it. */
export function settingsOf<Defaults extends SchedulerConfig>(
  config: Defaults & SchedulerConfig,
  defaults: Defaults,
): Settings<Defaults> {
  const kept = settingsByConfig.get(config)
  if (kept) return kept as Settings<Defaults>
  const known = Object.entries(defaults).map(([key, fallback]) => [
    key,
    config[key] ?? (typeof fallback === 'boolean' ? false : fallback),
  ])
  const settings = Object.freeze({ ...Object.fromEntries(known), _class_name: config._class_name })
  settingsByConfig.set(config, settings)
  return settings
}

const settingsByConfig = new WeakMap<SchedulerConfig, Settings<SchedulerConfig>>()

function kind(value: unknown): string {
  return Array.isArray(value) ? 'list' : typeof value
}

/** @throws EngineError 'argument' that names the allowed values, unless the value for `key` is one of them. */
export function requireOneOf<Value extends string>(
  settings: SchedulerConfig,
  key: string,
  allowed: readonly Value[],
): Value {
  const value = settings[key]
  if (allowed.includes(value as Value)) return value as Value
  const names = allowed.map((name) => `"${name}"`).join(', ')
  throw new EngineError(
    'argument',
    `${settings._class_name}: ${key} is ${JSON.stringify(value)} but must be one of ${names}.`,
  )
}
