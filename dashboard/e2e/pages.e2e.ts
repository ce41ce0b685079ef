import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud } from "./cloud";

/** Pages with something on them; `SCREENSHOTS=1` keeps their pictures in docs/screenshots. */
const PAGES: [string, string, string][] = [
  ["overview", "/", "admin"], ["servers", "/servers", "Servers"], ["launch", "/servers/launch", "Launch a server"], ["server", "/servers/ID", "web-1"],
  ["server-log", "/servers/ID?tab=log", "web-1"], ["server-timeline", "/servers/ID?tab=timeline", "web-1"],
  ["images", "/images", "Images"], ["key-pairs", "/key-pairs", "Key pairs"], ["topology", "/topology", "Topology"], ["networks", "/networks", "Networks"],
  ["routers", "/routers", "Routers"], ["floating-ips", "/floating-ips", "Floating IPs"], ["security-groups", "/security-groups", "Security groups"],
  ["security-group", "/security-groups/GROUP", "default"], ["access", "/access", "API access"], ["hosts", "/admin/hosts", "Hosts and services"],
  ["machines", "/admin/machines", "Machines"], ["flavors", "/admin/flavors", "Flavors"], ["projects", "/admin/projects", "Projects"], ["users", "/admin/users", "Users"],
];
const pictures = join(dirname(fileURLToPath(import.meta.url)), "../../docs/screenshots");

let cloud: Cloud;
let browser: Browser;
const ids: Record<string, string> = {};

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  const admin = cloud.admin;
  const network = await admin.network("office");
  const { security_groups } = await admin.get(`/network/v2.0/security-groups?project_id=${admin.projectId}&name=default`);
  ids.GROUP = security_groups[0].id;
  await admin.servers("web", 4, [{ uuid: network }]);
  const { servers } = await admin.get("/compute/v2.1/servers?name=web-1");
  ids.ID = servers[0].id;
  const { ports } = await admin.get(`/network/v2.0/ports?device_id=${ids.ID}`);
  const { networks } = await admin.get("/network/v2.0/networks?router:external=true");
  await admin.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: networks[0].id, port_id: ports[0].id } });
  await admin.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: networks[0].id } });
  if (process.env.SCREENSHOTS) mkdirSync(pictures, { recursive: true });
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test.each([["light", false], ["dark", true]] as const)("every page in %s colours has nothing that axe calls serious", async (name, dark) => {
  const { page, problems } = await visit(browser, cloud.url, dark);
  await logIn(page, cloud.admin.name, cloud.admin.password);
  const found: Record<string, string[]> = {};
  for (const [title, path, heading] of PAGES) {
    const target = path.replace(/ID|GROUP/, (key) => ids[key] ?? key);
    await page.evaluate((url) => {
      history.pushState({}, "", url);
      dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    }, `/dashboard${target}`);
    await page.getByRole("heading", { name: heading, level: 1, exact: true }).waitFor();
    await page.waitForTimeout(600);
    await page.locator(".pf-v6-c-skeleton, [role=progressbar].pf-v6-c-spinner").first().waitFor({ state: "detached" });
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(pictures, `${title}-${name}.png`) });
    const serious = await findings(page);
    if (serious.length > 0) found[title] = serious;
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, `${title} is wider than the window`).toBeLessThanOrEqual(0);
  }
  expect(found).toEqual({});
  expect(problems).toEqual([]);
  await page.context().close();
}, 600_000);
