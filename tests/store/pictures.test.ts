import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type FilePictureStore, openPictureStore } from '../../src/store/pictures.ts'
import { temporaryFolder } from '../queue/jobs.ts'

const id = '0123456789abcdef'
const png = new Uint8Array([137, 80, 78, 71])

async function openStore(dataDir: string, days = 30, log: string[] = []): Promise<FilePictureStore> {
  const store = await openPictureStore({ dataDir, days, log: (line) => log.push(line) })
  onTestFinished(() => store.close())
  return store
}

describe('pictures', () => {
  it('are for nobody else to see', async () => {
    const dataDir = await temporaryFolder()
    // As an older Seedling left it.
    await mkdir(join(dataDir, 'pictures'), { mode: 0o755 })
    const store = await openStore(dataDir)
    await store.write(id, 0, png)
    const modeOf = async (...names: string[]) => (await stat(join(dataDir, 'pictures', ...names))).mode & 0o777
    expect(await modeOf()).toBe(0o700)
    expect(await modeOf(id)).toBe(0o700)
    expect(await modeOf(id, '0.png')).toBe(0o600)
  })

  it('are kept, read and removed', async () => {
    const dataDir = await temporaryFolder()
    const store = await openStore(dataDir)
    expect(await store.has(id)).toBe(false)
    await Promise.all([0, 1, 2, 3].map((index) => store.write(id, index, new Uint8Array([index]))))
    expect(await store.read(id, 2)).toEqual(Buffer.from([2]))
    expect(await store.read(id, 4)).toBeUndefined()
    expect(await store.has(id)).toBe(true)
    expect((await readdir(join(dataDir, 'pictures', id))).toSorted()).toEqual(['0.png', '1.png', '2.png', '3.png'])
    await store.remove(id)
    expect(await store.read(id, 2)).toBeUndefined()
    expect(await readdir(join(dataDir, 'pictures'))).toEqual([])
    await store.remove(id)
  })

  it('may be written again, after a crash that left half of one', async () => {
    const dataDir = await temporaryFolder()
    const store = await openStore(dataDir)
    await mkdir(join(dataDir, 'pictures', id))
    await writeFile(join(dataDir, 'pictures', id, '0.png.tmp'), 'hal')
    expect(await store.read(id, 0)).toBeUndefined()
    await store.write(id, 0, png)
    await store.write(id, 0, png)
    expect(await readdir(join(dataDir, 'pictures', id))).toEqual(['0.png'])
  })

  it.each(['..', '../../etc', '', '0123456789ABCDEF', '0123456789abcde', '0123456789abcdef/..', '0123456789abcdef\n'])(
    'touches no path for the id %j',
    async (hostile) => {
      const dataDir = await temporaryFolder()
      const store = await openStore(dataDir)
      await writeFile(join(dataDir, '0.png'), png)
      expect(await store.read(hostile, 0)).toBeUndefined()
      expect(await store.has(hostile)).toBe(false)
      await store.remove(hostile)
      await expect(store.write(hostile, 0, png)).rejects.toThrow(RangeError)
      expect((await readdir(dataDir)).toSorted()).toEqual(['0.png', 'pictures'])
    },
  )

  it.each([-1, 0.5, Number.NaN])('touches no path for the index %d', async (index) => {
    const store = await openStore(await temporaryFolder())
    expect(await store.read(id, index)).toBeUndefined()
    await expect(store.write(id, index, png)).rejects.toThrow(RangeError)
  })

  it('are swept when their time is over, and nothing else is', async () => {
    const dataDir = await temporaryFolder()
    const store = await openStore(dataDir, 30)
    const young = 'fedcba9876543210'
    const folder = (name: string) => join(dataDir, 'pictures', name)
    for (const job of [id, young]) await store.write(job, 0, png)
    await mkdir(folder('lost+found'))
    const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000)
    await utimes(folder(id), daysAgo(31), daysAgo(31))
    await utimes(folder(young), daysAgo(29), daysAgo(29))
    await utimes(folder('lost+found'), daysAgo(99), daysAgo(99))
    await store.sweep()
    expect((await readdir(join(dataDir, 'pictures'))).toSorted()).toEqual([young, 'lost+found'])
  })

  it('name the folder, and what to do, when they cannot be kept', async () => {
    const dataDir = await temporaryFolder()
    await writeFile(join(dataDir, 'file'), '')
    await expect(openStore(join(dataDir, 'file'))).rejects.toMatchObject({
      name: 'StoreError',
      code: 'denied',
      message: expect.stringMatching(/file\/pictures cannot be written .*SEEDLING_DATA/),
    })
    const store = await openStore(dataDir)
    await writeFile(join(dataDir, 'pictures', id), 'in the way')
    await expect(store.write(id, 0, png)).rejects.toMatchObject({ name: 'StoreError', code: 'denied' })
  })
})
