const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const;

/** "5 minutes ago"; null is now, or what the server's clock puts into our future. */
export function relative(then: Date, now: Date): string | null {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return new Intl.RelativeTimeFormat('en').format(-Math.floor(seconds / size), unit);
  }
  return null;
}

/** In the reader's time zone, and in the kind of English that the browser prefers. */
export function exact(then: Date, languages: readonly string[], timeStyle?: 'short'): string {
  const english = languages.find((language) => /^en\b/i.test(language)) ?? 'en';
  return then.toLocaleString(english, { dateStyle: 'long', timeStyle });
}

/** "1 minute, 5 seconds"; from ten minutes on in whole minutes, from two hours on in hours. */
export function duration(seconds: number): string {
  const count = (n: number, unit: string) =>
    new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay: 'long' }).format(n);
  if (seconds >= 7_200) return count(Math.ceil(seconds / 3_600), 'hour');
  if (seconds >= 600) return count(Math.ceil(seconds / 60), 'minute');
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return [minutes && count(minutes, 'minute'), (rest || !minutes) && count(rest, 'second')].filter(Boolean).join(', ');
}
