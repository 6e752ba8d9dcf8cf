import { describe, expect, it } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'

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
