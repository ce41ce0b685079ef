/** Collect the texts of `t("…")` into every catalog of src/locales, keeping what is translated; `--check` only looks. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const source = new URL("../src/", import.meta.url).pathname;
const texts = new Set();
for (const entry of readdirSync(source, { recursive: true })) {
  if (!/\.tsx?$/.test(entry) || /\.test\.ts$/.test(entry)) continue;
  const code = readFileSync(join(source, entry), "utf8");
  for (const [, text] of code.matchAll(/\bt\(\s*("(?:[^"\\]|\\.)*")/g)) texts.add(JSON.parse(text));
  for (const [, one, other] of code.matchAll(/\bcount\(\s*("(?:[^"\\]|\\.)*"),\s*("(?:[^"\\]|\\.)*")/g)) texts.add(JSON.parse(one)).add(JSON.parse(other));
}
let stale = false;
for (const name of readdirSync(join(source, "locales"))) {
  const path = join(source, "locales", name);
  const before = readFileSync(path, "utf8");
  const known = JSON.parse(before);
  const now = Object.fromEntries([...texts].sort().map((text) => [text, known[text] ?? (name === "en.json" ? text : "")]));
  const after = `${JSON.stringify(now, null, 2)}\n`;
  if (after === before) continue;
  stale = true;
  if (!process.argv.includes("--check")) writeFileSync(path, after);
}
if (stale && process.argv.includes("--check")) {
  console.error("The catalogs don't match the source: run `npm run texts`.");
  process.exit(1);
}
