import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud } from "./cloud";

let cloud: Cloud;
let browser: Browser;

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  await cloud.admin.servers("web", 3, [{ uuid: await cloud.admin.network("office") }]);
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test("a host is disabled, its servers move away running, and it is enabled again", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/machines");
  await page.getByRole("link", { name: "host-1" }).first().click();
  await page.getByText("none; it has never been fenced").waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("main").getByRole("link", { name: "host-1" }).click();
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByRole("dialog").getByLabel("Why").fill("new memory");
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await page.getByText("new memory").waitFor();
  await page.getByRole("link", { name: /^web-/ }).first().waitFor();
  await page.getByRole("button", { name: "Move all away" }).click();
  await page.getByRole("heading", { name: "No servers on this host" }).waitFor();
  await page.getByRole("row", { name: /live-migration completed host-1 host-[23]/ }).waitFor();
  await page.getByRole("button", { name: "Enable" }).click();
  await page.getByRole("button", { name: "Disable" }).waitFor();
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the cluster's map shows which machine holds which host, and says what doesn't answer", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/cluster");
  await page.getByRole("heading", { name: "Everything answers." }).waitFor();
  const cards = page.getByRole("list", { name: "Machines" }).getByRole("listitem").filter({ has: page.getByRole("heading", { level: 2 }) });
  expect(await cards.count()).toBeGreaterThanOrEqual(3);
  const one = cards.filter({ has: page.getByRole("heading", { level: 2, name: /^host-1/ }) });
  await one.getByText(/servers: \d+ · lease \d+/).waitFor();
  await one.getByText("nova-compute").waitFor();
  await cards.filter({ has: page.getByRole("heading", { level: 2, name: "On every machine with an engine" }) }).getByText("cinder-volume · simulated").waitFor();
  expect(await page.getByText("On no machine that is known").count()).toBe(0);
  await page.getByRole("heading", { name: "What the engines have in hand" }).waitFor();
  await page.getByText(/Everything is as it was asked for|\d+ in hand/).waitFor();
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.route("**/compute/v2.1/os-services", async (route) => {
    const answer = await route.fetch();
    const body = (await answer.json()) as { services: { host: string; state: string }[] };
    await route.fulfill({ response: answer, json: { services: body.services.map((one) => (one.host === "host-2" ? { ...one, state: "down" } : one)) } });
  });
  await page.getByText(/nova-compute \(host-2\)/).waitFor();
  await page.getByRole("heading", { name: "Not everything answers." }).waitFor();
  await page.unroute("**/compute/v2.1/os-services");
  await one.getByRole("heading", { level: 2 }).getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: "host-1" }).waitFor();
  await page.context().close();
});

test("what no host takes is listed with the reason", async () => {
  const { flavor } = await cloud.admin.post("/compute/v2.1/flavors", { flavor: { name: "giant", ram: 64_000_000, vcpus: 1, disk: 1 } });
  const { images } = await cloud.admin.get("/image/v2/images");
  const { networks } = await cloud.admin.get("/network/v2.0/networks?name=office");
  await cloud.admin.ask("PUT", `/compute/v2.1/os-quota-sets/${cloud.admin.projectId}`, { quota_set: { ram: -1, cores: -1 } });
  await cloud.admin.post("/compute/v2.1/servers", { server: { name: "toobig", imageRef: images[0].id, flavorRef: flavor.id, networks: [{ uuid: networks[0].id }] } });
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/refusals");
  await page.getByRole("row", { name: /toobig admin .*No valid host was found.*host-2: lacks/ }).waitFor();
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("aggregates and quotas are changed; storage tells what is full", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/aggregates");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create an aggregate" }).click();
  await dialog.getByLabel("Name").fill("fast");
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /fast –/ }).getByRole("button").last().click();
  await page.getByRole("menuitem", { name: "Add a host" }).click();
  await dialog.getByLabel("Host").selectOption("host-3");
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByRole("row", { name: /fast – host-3/ }).waitFor();
  await page.getByRole("link", { name: "Storage" }).click();
  await page.getByRole("row", { name: /^simulated up/ }).getByText(/ of 97.7 TiB/).waitFor();
  await page.getByText("Never compared yet.").waitFor();
  await page.getByRole("button", { name: "Compare now" }).click();
  await page.getByRole("heading", { name: "All is as it should be" }).waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("link", { name: "Projects" }).click();
  await page.getByRole("row", { name: /demo/ }).getByRole("button").last().click();
  await page.getByRole("menuitem", { name: "Quotas" }).click();
  await dialog.getByLabel("Volumes", { exact: true }).fill("7");
  await dialog.getByLabel("Networks").fill("3");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  const { projects } = await cloud.admin.get("/identity/v3/projects?name=demo");
  const id = projects[0].id;
  expect((await cloud.admin.get(`/volume/v3/os-quota-sets/${id}`)).quota_set.volumes).toBe(7);
  expect((await cloud.admin.get(`/network/v2.0/quotas/${id}`)).quota).toMatchObject({ network: 3, router: 10 });
  expect(problems).toEqual([]);
  await page.context().close();
});
