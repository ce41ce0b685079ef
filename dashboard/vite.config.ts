import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const here = dirname(fileURLToPath(import.meta.url));
const assets = join(here, "../src/stackling/api/dashboard/assets");

/** The hash of what the files are built from; tests/api/test_dashboard.py compares it with the committed source. */
function sourceHash(): string {
  const names = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "."], { cwd: here, encoding: "utf8" }).split("\n");
  const counted = names.filter((name) => existsSync(join(here, name)) && !name.endsWith(".test.ts") && (/^(src|public)\//.test(name)
    || ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"].includes(name)));
  const total = createHash("sha256");
  for (const name of counted.sort()) {
    total.update(`dashboard/${name}\0${createHash("sha256").update(readFileSync(join(here, name))).digest("hex")}\n`);
  }
  return total.digest("hex");
}

/** Texts are kept compressed only: the server sends them so, and unpacks them for the rare client that can't. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      writeFileSync(join(assets, "source.txt"), `${sourceHash()}\n`);
      for (const entry of readdirSync(assets, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(html|js|css|svg|json|txt)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
        rmSync(path);
      }
    },
  };
}

export default defineConfig({
  base: "/dashboard/",
  plugins: [react(), packed()],
  build: {
    outDir: assets,
    emptyOutDir: true,
    assetsDir: "static",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: join(here, "index.html"), console: join(here, "src/console/page.ts") },
      output: {
        entryFileNames: (chunk) => (chunk.name === "console" ? "console.js" : "static/[name]-[hash].js"),
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler|react-router|@tanstack|i18next)\// },
            { name: "patternfly", test: /node_modules\/@patternfly\/react-(core|styles|table)\// },
          ],
        },
      },
    },
  },
  server: { proxy: Object.fromEntries(["identity", "compute", "network", "image", "volume", "load-balancer", "placement", "stackling", "console"].map(
    (path) => [`/${path}`, { target: process.env.STACKLING_URL ?? "http://127.0.0.1:8700", ws: path === "console" }])) },
  test: {
    projects: [
      { test: { name: "unit", include: ["src/**/*.test.ts"], testTimeout: 30_000 } },
      { test: { name: "browser", include: ["e2e/**/*.e2e.ts"], testTimeout: 120_000, hookTimeout: 180_000,
                fileParallelism: false } },
      { test: { name: "real", include: ["e2e/**/*.real.ts"], testTimeout: 600_000, hookTimeout: 300_000, fileParallelism: false } },
      { test: { name: "load", include: ["e2e/**/*.load.ts"], testTimeout: 600_000, hookTimeout: 900_000, fileParallelism: false } },
    ],
  },
});
