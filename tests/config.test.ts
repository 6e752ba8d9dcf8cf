import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'
import { unknownSettings } from '../src/unknown-settings.ts'

describe('readConfig', () => {
  it('needs nothing, and listens on this machine alone', () => {
    expect(readConfig({})).toMatchObject({ HOST: '127.0.0.1', PORT: 3000, SEEDLING_DATA: './data' })
    expect(readConfig({ PORT: ' ', DISCORD_TOKEN: '' })).toMatchObject({ PORT: 3000 })
  })

  it('reports all mistakes together and repeats no value', () => {
    const read = () =>
      readConfig({ PORT: 'http', SLACK_BOT_TOKEN: 'hunter2', REDIS_URL: 'hunter2', SEEDLING_MAX_SIZE: '-1' })
    expect(read).toThrow(ConfigError)
    expect(read).toThrow(
      /PORT: .*SLACK_BOT_TOKEN: must begin with xoxb-|SLACK_BOT_TOKEN: must begin with xoxb-.*PORT: /,
    )
    expect(read).toThrow(/REDIS_URL: /)
    expect(read).toThrow(/SEEDLING_MAX_SIZE: /)
    expect(read).not.toThrow(/hunter2/)
    expect(() => readConfig({ PORT: '99999', SEEDLING_VARIATION_STRENGTH: '3' })).toThrow(
      /PORT: must be a port, 0 to 65535; SEEDLING_VARIATION_STRENGTH: must be a number above 0, at most 1\./,
    )
  })

  it('refuses a Discord token that cannot be one, without repeating it', () => {
    for (const token of [
      'hunter2',
      'Bot abc.def.ghi',
      '"abc.def.ghi"',
      'abc.def',
      'abc..ghi',
      'abc.def.ghi.jkl',
      'a'.repeat(64),
    ]) {
      expect(() => readConfig({ DISCORD_TOKEN: token })).toThrow(/DISCORD_TOKEN: must be three parts .*Reset Token/)
      expect(() => readConfig({ DISCORD_TOKEN: token })).not.toThrow(token)
    }
    expect(readConfig({ DISCORD_TOKEN: ' MTIz.Gk-_4a.x1 \n' }).DISCORD_TOKEN).toBe('MTIz.Gk-_4a.x1')
  })

  it('bounds how large pictures may be', () => {
    expect(() => readConfig({ SEEDLING_MAX_SIZE: '99999' })).toThrow(/SEEDLING_MAX_SIZE: .* from 1 to 4096/)
  })

  it('asks for the other half of a pair of Slack tokens', () => {
    expect(() => readConfig({ SLACK_BOT_TOKEN: 'xoxb-1' })).toThrow(/needs SLACK_APP_TOKEN/)
    expect(() => readConfig({ SLACK_SIGNING_SECRET: 'x' })).toThrow(/needs SLACK_BOT_TOKEN/)
    expect(readConfig({ SLACK_BOT_TOKEN: 'xoxb-1', SLACK_APP_TOKEN: 'xapp-1' }).SLACK_APP_TOKEN).toBe('xapp-1')
  })

  it('lets every outside host be set', () => {
    const hosts = {
      DISCORD_API_URL: 'http://127.0.0.1:4000/api',
      SLACK_API_URL: 'http://127.0.0.1:4001/api/',
      HF_ENDPOINT: 'http://127.0.0.1:4002',
    }
    expect(readConfig(hosts)).toMatchObject(hosts)
    expect(() => readConfig({ DISCORD_API_URL: 'ftp://x' })).toThrow(/DISCORD_API_URL: must be an http/)
  })
})

describe('unknownSettings', () => {
  it.each([
    ['DISCORD_TOKN', 'DISCORD_TOKEN'],
    ['DISCORD_BOT_TOKEN', 'DISCORD_TOKEN'],
    ['discord_token', 'DISCORD_TOKEN'],
    ['SLACK_TOKEN', 'SLACK_.*TOKEN'],
    ['SLACK_SIGNIN_SECRET', 'SLACK_SIGNING_SECRET'],
    ['SEEDLING_MODLE', 'SEEDLING_MODEL'],
    ['SEEDLING_DATA_DIR', 'SEEDLING_DATA'],
    ['REDIS_URI', 'REDIS_URL'],
    ['HF_TOKN', 'HF_TOKEN'],
  ])('says that %s is none, and names the nearest', (name, nearest) => {
    const sentences = unknownSettings({ [name]: 'hunter2', PATH: '/bin', HOME: '/root' })
    expect(sentences).toEqual([
      expect.stringMatching(new RegExp(`^${name} is no setting.*did you mean ${nearest}\\?$`)),
    ])
    expect(sentences.join()).not.toContain('hunter2')
  })

  it('says so of what begins like ours and is near to nothing, and leaves alone what others read', () => {
    expect(unknownSettings({ SEEDLING_FROBNICATE_ALL: '1' })).toEqual([
      'SEEDLING_FROBNICATE_ALL is no setting, so nothing reads it; see seedling start --help.',
    ])
    const others = { HOME: '/root', PORTS: '1', HF_HOME: '/x', HOSTNAME: 'x', NODE_ENV: 'x', REDIS_URI: 'x' }
    expect(unknownSettings({ ...others, REDIS_URL: 'redis://x', DISCORD_TOKEN: 'a.b.c' })).toEqual([])
  })
})
