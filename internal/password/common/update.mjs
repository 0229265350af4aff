// Reads a JSON array of passwords, the most common first, and prints the first
// 10,000 that have at least 8 code points: case-folded, in NFC, each once,
// sorted by their UTF-8 bytes, one per line.
import { readFileSync } from 'node:fs'

const fold = (s) => s.normalize('NFC').toLowerCase().normalize('NFC')
const ranked = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const chosen = new Set()
for (const password of ranked.map(fold)) {
  if (chosen.size === 10000) break
  if ([...password].length >= 8 && !/[\n\r\0]/.test(password)) chosen.add(password)
}
const sorted = [...chosen].map((s) => Buffer.from(s)).sort(Buffer.compare)
process.stdout.write(sorted.map((b) => b.toString() + '\n').join(''))
