// Builds dist/, which is checked in and embedded in the binary: the same sources
// always give the same bytes. Needs Node 20 or newer and nothing but package-lock.json:
//
//	cd internal/web/ide && npm ci && npm run build && npm test
//
import { build } from 'esbuild';
import { copyFile, readFile, readdir, rm, writeFile } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });

const { metafile } = await build({
  entryPoints: { ide: 'main.jsx' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  jsx: 'automatic',
  legalComments: 'none', // LICENSES.txt has them all
  define: { 'process.env.NODE_ENV': '"production"' },
  alias: {
    // Two copies of graphql in one bundle do not recognise each other's schemas.
    graphql: './node_modules/graphql/index.mjs',
    // The original puts a <style> element into the page, which our CSP forbids.
    'react-style-singleton': './no-style.js',
  },
  plugins: [{ name: 'no-fonts', setup: ({ onLoad }) => onLoad({ filter: /graphiql.*\.css$/ }, withoutFonts) }],
  metafile: true,
});

await copyFile('index.html', 'dist/index.html');
await copyFile('favicon.svg', 'dist/favicon.svg');
await writeFile('dist/LICENSES.txt', await licenses(bundledPackages(metafile)));

// GraphiQL's web fonts would be six parts in seven of the style sheet, and come without
// their licences; page.css names the fonts of the system instead.
async function withoutFonts({ path }) {
  const css = await readFile(path, 'utf8');
  return { loader: 'css', contents: css.replaceAll(/@font-face\s*\{[^}]*\}/g, '') };
}

function bundledPackages({ inputs }) {
  const folders = Object.keys(inputs).flatMap(
    (path) => path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0] ?? [],
  );
  return [...new Set(folders)].sort();
}

async function licenses(folders) {
  const texts = folders.map(async (folder) => {
    const { name, version, license, ...about } = JSON.parse(await readFile(`${folder}/package.json`, 'utf8'));
    const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? await readFile(`${folder}/${file}`, 'utf8') : `No licence file; see ${about.repository?.url ?? about.repository}`;
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(72)}\n\n`);
}
