// The first that fits: many browsers also name the ones that they descend from.
const BROWSERS = {
  'Edg(e|A|iOS)?': 'Edge',
  'OPR|OPiOS|Opera': 'Opera',
  SamsungBrowser: 'Samsung Internet',
  'Firefox|FxiOS': 'Firefox',
  HeadlessChrome: 'Headless Chrome',
  'Chrome|CriOS|Chromium': 'Chrome',
  'Version/.* Safari': 'Safari',
};
const SYSTEMS = ['Windows', 'iPhone', 'iPad', 'Mac', 'Android', 'CrOS', 'Linux'];
const LONGEST = 60;

/** "Firefox on Windows"; of what is no known browser, what it calls itself; null without that. */
export function deviceName(userAgent: string | null): string | null {
  const raw = userAgent?.trim();
  if (!raw) return null;
  const browser = Object.entries(BROWSERS).find(([pattern]) => RegExp(`\\b(${pattern})/`).test(raw))?.[1];
  const system = SYSTEMS.find((name) => raw.includes(name))?.replace('CrOS', 'ChromeOS');
  if (browser) return system ? `${browser} on ${system}` : browser;
  return raw.length > LONGEST ? `${raw.slice(0, LONGEST - 1)}…` : raw;
}
