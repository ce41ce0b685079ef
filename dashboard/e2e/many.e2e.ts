import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logIn, startBrowser, visit } from "./browser";
import { type Account, Cloud, PASSWORD } from "./cloud";

/** More servers than an answer of the API holds: this cloud gives one server and one port at a time. */
let cloud: Cloud;
let browser: Browser;
let member: Account;
const NAMES = ["web-1", "web-2", "web-3"];

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  member = await cloud.member();
  const network = await member.network("office");
  await member.servers("web", NAMES.length, [{ uuid: network }]);
  const { networks } = await member.get("/network/v2.0/networks?router:external=true");
  for (const name of NAMES) {
    const { servers } = await member.get(`/compute/v2.1/servers?name=${name}`);
    await settled(`/compute/v2.1/servers/${servers[0].id}`, "server", "ACTIVE");
    const { ports } = await member.get(`/network/v2.0/ports?device_id=${servers[0].id}`);
    await member.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: networks[0].id, port_id: ports[0].id } });
    const { volume } = await member.post("/volume/v3/volumes", { volume: { name: `of-${name}`, size: 1 } });
    await settled(`/volume/v3/volumes/${volume.id}`, "volume", "available");
    await member.post(`/compute/v2.1/servers/${servers[0].id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } });
    await settled(`/volume/v3/volumes/${volume.id}`, "volume", "in-use");
  }
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

async function settled(path: string, field: string, status: string): Promise<void> {
  for (let round = 0; round < 240; round++) {
    if ((await member.get(path))[field].status === status) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`${path} isn't ${status}.`);
}

/** Let the page be answered in parts; gives the lists that it asked for from now on, and *hold* keeps the second part of servers back. */
async function inParts(page: Page, hold: Promise<void> = Promise.resolve()): Promise<string[]> {
  const asked: string[] = [];
  await page.route(/\/compute\/v2\.1\/servers(\/detail)?\?.*limit=1000/, async (route) => {
    const url = new URL(route.request().url());
    if (url.searchParams.has("changes-since")) return route.continue();
    if (url.searchParams.has("marker")) await hold;
    url.searchParams.set("limit", "1");
    return route.continue({ url: url.href });
  });
  await page.route(/\/network\/v2\.0\/ports\?/, (route) => route.continue({ url: `${route.request().url()}&limit=1` }));
  page.on("request", (request) => asked.push(request.url().slice(cloud.url.length)));
  return asked;
}

test.each([["/networks/ID", "Used by"], ["/floating-ips", "Leads to"], ["/volumes", "Attached to"]])("%s names every server, by paging through them", async (path, column) => {
  const { page, problems } = await visit(browser, cloud.url);
  const asked = await inParts(page);
  const { networks } = await member.get("/network/v2.0/networks?name=office");
  await logIn(page, "maria", PASSWORD, `/dashboard${path.replace("ID", networks[0].id)}`);
  for (const name of NAMES) await page.locator(`td[data-label="${column}"]`).getByRole("link", { name, exact: true }).waitFor();
  expect(asked.filter((url) => /\/compute\/v2\.1\/servers\/[0-9a-f-]{36}/.test(url))).toEqual([]);
  expect(asked.filter((url) => /\/servers\?.*limit=1000/.test(url)).length).toBeLessThanOrEqual(2 * (NAMES.length + 1));
  expect(problems).toEqual([]);
  await page.context().close();
});

test("addresses of a cloud that doesn't tell what they lead to are named by their ports", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  const asked = await inParts(page);
  await page.route(/\/network\/v2\.0\/floatingips\?/, async (route) => {
    const response = await route.fetch();
    const { floatingips } = (await response.json()) as { floatingips: { port_details?: unknown }[] };
    for (const one of floatingips) delete one.port_details;
    await route.fulfill({ response, json: { floatingips } });
  });
  await logIn(page, "maria", PASSWORD, "/dashboard/floating-ips");
  for (const name of NAMES) await page.getByRole("link", { name, exact: true }).waitFor();
  expect(asked.filter((url) => /\/ports\?id=/.test(url)).every((url) => url.match(/[?&]id=/g)?.length === NAMES.length)).toBe(true);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the topology draws what has come, then the others; afterwards it asks only for what has changed", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  let release = () => undefined as void;
  const asked = await inParts(page, new Promise((resolve) => { release = resolve; }));
  for (let number = 0; number < 6; number++) await member.post("/network/v2.0/networks", { network: { name: `floor-${number}` } });
  await logIn(page, "maria", PASSWORD, "/dashboard/topology");
  await page.getByRole("button", { name: /^Server web-1 / }).waitFor();
  await page.getByText("1 server so far; the others are on their way.").waitFor();
  expect(await page.getByRole("button", { name: /^Server / }).count()).toBe(1);
  release();
  for (const name of NAMES) await page.getByRole("button", { name: new RegExp(`^Server ${name} `) }).waitFor();
  await page.getByText(/on their way/).waitFor({ state: "detached" });
  const pages = () => asked.filter((url) => /\/servers\/detail\?/.test(url) && !url.includes("changes-since")).length;
  const before = pages();
  const { servers } = await member.get("/compute/v2.1/servers?name=web-2");
  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-stop": null });
  await page.getByRole("button", { name: /^Server web-2 shutoff/ }).waitFor();
  expect(pages()).toBe(before);
  expect(asked.some((url) => url.includes("changes-since"))).toBe(true);
  expect(problems).toEqual([]);
  await page.context().close();
});
