// What holds between the built files.
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { test } from 'node:test';

const file = (path) => readFile(new URL(`../${path}`, import.meta.url), 'utf8');
const html = await file('index.html');
const sources = (await Promise.all((await readdir(new URL('../src', import.meta.url))).map((name) => file(`src/${name}`)))).join('\n');

test('the script is under 15 KB, without compression', async () => {
  const { length } = Buffer.from(await file('dist/account.js'));
  assert(length < 15 * 1024, `${length} bytes`);
});

test('every template and text that is used is there, and the other way round', () => {
  const ids = (text) => new Set([...text.matchAll(/ id="([\w-]+)"/g)].map(([, id]) => id));
  const [views, said] = html.split('<template id="texts">');
  const used = (pattern) => new Set([...sources.matchAll(pattern)].flatMap((match) => match.slice(1)).filter(Boolean));
  const codes = ['RATE_LIMITED', 'OVERLOADED', 'NETWORK_ERROR', 'INTERNAL']; // looked up by the error's code
  assert.deepEqual([...ids(said)].sort(), [...codes, ...used(/\btext\((?:count === 1 \? )?'(\w+)'(?: : '(\w+)')?/g)].sort());
  const templates = [...views.matchAll(/<template id="([\w-]+)"/g)].map(([, id]) => id);
  for (const id of used(/copy\('([\w-]+)'\)/g)) assert(templates.includes(id), id);
  for (const id of used(/'#([\w-]+)'/g)) assert(ids(views).has(id) || /sign-up|log-in/.test(id), id);
});

test('nothing turns text into code or markup', () => {
  assert.doesNotMatch(sources, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\bconfirm\(|\balert\(/);
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
});

test('fields that share a view say what belongs to them', () => {
  for (const [, view] of html.matchAll(/<template id="(?:log-in|sign-up|account)">(.*?)<\/template>/gs)) {
    const ids = [...view.matchAll(/ id="([\w-]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, 'an id twice in one view');
    for (const [, list] of view.matchAll(/(?: for| aria-describedby| aria-labelledby| aria-controls)="([\w -]+)"/g)) {
      for (const id of list.split(' ')) assert(ids.includes(id), id);
    }
  }
});
