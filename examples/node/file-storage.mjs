// @ts-check
import { randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';

/**
 * Keeps the refresh token in a file that nobody else can read. Processes may share it.
 *
 * @param {string} file
 * @returns {import('latchkey-client').RefreshTokenStorage}
 */
export function fileStorage(file) {
  /** @type {string | null} What this process knows to be in it. */
  let known = null;

  const read = () =>
    readFile(file, 'utf8').catch((error) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });

  return {
    async load() {
      return (known = await read());
    },
    async save(refreshToken) {
      if ((await read()) !== known) return; // another process has a newer one
      if (refreshToken === null) {
        await rm(file, { force: true });
      } else {
        // A name that nobody can guess, so that no link waits there; never an existing file.
        const whole = `${file}.${randomUUID()}`;
        await writeFile(whole, refreshToken, { mode: 0o600, flag: 'wx', flush: true });
        await rename(whole, file).catch((error) => rm(whole).then(() => { throw error; }));
      }
      known = refreshToken;
    },
  };
}
