import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { type Account, Cloud, PASSWORD } from "./cloud";

let cloud: Cloud;
let browser: Browser;
let member: Account;

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  member = await cloud.member();
  await member.servers("web", 1, [{ uuid: await member.network("office") }]);
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test("a network gets a subnet with name servers, and tells what is on it", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  const dialog = page.getByRole("dialog");
  await page.getByRole("link", { name: "office" }).click();
  await page.getByRole("heading", { name: "office", level: 1 }).waitFor();
  await page.getByRole("row", { name: /web 10\.20\.\d+\.\d+ .* active/ }).waitFor();
  await page.getByRole("row", { name: /gateway 10\.20\.0\.1/ }).waitFor();
  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: "Add a subnet" }).click();
  await dialog.getByLabel("Name", { exact: true }).fill("second");
  await dialog.getByLabel("Name servers").fill("192.0.2.53, nonsense");
  await dialog.getByText("Write addresses, like 192.0.2.53.").waitFor();
  expect(await dialog.getByRole("button", { name: "Add" }).isDisabled()).toBe(true);
  await dialog.getByLabel("Name servers").fill("192.0.2.53, 192.0.2.54");
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByRole("row", { name: /second 10\.\d+\.\d+\.0\/24 10\.\d+\.\d+\.1 yes \(DHCP\) 192\.0\.2\.53, 192\.0\.2\.54/ }).waitFor();
  await page.getByRole("row", { name: /^second/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Change" }).click();
  await dialog.getByLabel("Name servers").fill("");
  await dialog.getByLabel("Tell servers their addresses (DHCP)").uncheck();
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /second .* no the cloud's/ }).waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("row", { name: /^second/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("row", { name: /^second/ }).waitFor({ state: "detached" });
  expect(problems).toEqual([]);
  await page.context().close();
});

test("who may reach a server is said in plain words and changed; it joins another network and leaves it", async () => {
  await member.post("/network/v2.0/security-groups", { security_group: { name: "closed" } });
  const { network } = await member.post("/network/v2.0/networks", { network: { name: "backstage" } });
  await member.post("/network/v2.0/subnets", { subnet: { network_id: network.id, name: "backstage", ip_version: 4, cidr: "10.77.0.0/24" } });
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  const dialog = page.getByRole("dialog");
  await page.getByRole("link", { name: "web" }).click();
  await page.getByRole("tab", { name: "Networks" }).click();
  await page.getByText("In: everything from servers of group default.").waitFor();
  await page.getByRole("row", { name: /office .* default/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Change the security groups" }).click();
  await dialog.getByLabel("default", { exact: true }).uncheck();
  await dialog.getByLabel("closed", { exact: true }).check();
  expect(await findings(page)).toEqual([]);
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByText("Nobody may reach it.").waitFor();
  await page.getByRole("row", { name: /office .* closed/ }).waitFor();

  await page.getByRole("button", { name: "Connect to a network" }).click();
  await dialog.getByLabel("Network").selectOption({ label: "backstage" });
  await dialog.getByRole("button", { name: "Connect" }).click();
  await page.getByRole("row", { name: /backstage 10\.77\.0\.\d+/ }).waitFor();
  await page.getByText("Who may reach it on backstage").waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("row", { name: /backstage/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Disconnect" }).click();
  await dialog.getByRole("button", { name: "Disconnect" }).click();
  await page.getByRole("row", { name: /backstage/ }).waitFor({ state: "detached" });
  expect(problems).toEqual([]);
  await page.context().close();
});

test("several networks are deleted at once; what keeps one is named", async () => {
  for (const name of ["one", "two"]) await member.post("/network/v2.0/networks", { network: { name } });
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  for (const name of ["one", "two", "office"]) await page.getByRole("row", { name: new RegExp(` ${name} `) }).getByRole("checkbox").check();
  await page.getByRole("button", { name: "With 3 chosen" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText(/office: .*(in use|active ports)/i).waitFor();
  await page.getByRole("row", { name: / (one|two) / }).first().waitFor({ state: "detached" });
  await page.getByRole("link", { name: "office" }).waitFor();
  await page.context().close();
});

test("a reader sees networks and who may reach a server, and nothing to do with them", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "rosa", PASSWORD, "/dashboard/networks");
  await page.getByRole("link", { name: "office" }).click();
  await page.getByRole("row", { name: /web 10\.20/ }).waitFor();
  const main = page.getByRole("main");
  expect(await main.getByRole("button", { name: /^Actions|Add a|Menu of/ }).count()).toBe(0);
  await main.getByRole("link", { name: "web" }).click();
  await page.getByRole("tab", { name: "Networks" }).click();
  await page.getByText("Who may reach it").first().waitFor();
  expect(await main.getByRole("button", { name: /Connect|Menu of/ }).count()).toBe(0);
  await page.getByRole("tab", { name: "Metrics" }).click();
  await main.getByText("Processors").first().waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a server starts again from an image", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "web" }).click();
  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: "Start again from an image" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Start again" }).click();
  await page.getByRole("tab", { name: "Timeline" }).click();
  await page.getByText("rebuild", { exact: true }).first().waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the cloud fetches an image, where an administrator allows it; what keeps it from that is said", async () => {
  const { page } = await visit(browser, cloud.url);
  const id = "11111111-2222-3333-4444-555555555555";
  let task = { status: "processing", message: "" };
  await logIn(page, "maria", PASSWORD, "/dashboard/images");
  await page.getByRole("button", { name: "Upload an image" }).waitFor();
  expect(await page.getByRole("button", { name: "Fetch one from an address" }).count()).toBe(0);
  await page.context().close();

  const { page: allowed } = await visit(browser, cloud.url);
  await allowed.route("**/image/v2/info/import", (route) => route.fulfill({ json: { "import-methods": { value: ["glance-direct", "web-download"] } } }));
  await allowed.route("**/image/v2/images", (route) => route.request().method() === "POST" ? route.fulfill({ status: 201, json: { id, status: "queued" } }) : route.fallback());
  await allowed.route(`**/image/v2/images/${id}/import`, (route) => route.fulfill({ status: 202 }));
  await allowed.route(`**/image/v2/images/${id}/tasks`, (route) => route.fulfill({ json: { tasks: [task] } }));
  await allowed.route(`**/image/v2/images/${id}`, (route) => route.fulfill(route.request().method() === "DELETE" ? { status: 204 } : { json: { id, status: "importing" } }));
  await logIn(allowed, "maria", PASSWORD, "/dashboard/images");
  await allowed.getByRole("button", { name: "Fetch one from an address" }).click();
  const dialog = allowed.getByRole("dialog");
  await dialog.getByLabel("Address").fill("https://images.example/debian-12.qcow2");
  expect(await dialog.getByLabel("Name").inputValue()).toBe("debian-12");
  expect(await findings(allowed)).toEqual([]);
  await dialog.getByRole("button", { name: "Fetch" }).click();
  await allowed.getByText("the cloud fetches it").waitFor();
  task = { status: "failure", message: "The address answers 404." };
  await allowed.getByText("The address answers 404.").waitFor();
  await allowed.context().close();
});

test("an administrator gives and takes a role", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/projects");
  await page.getByRole("button", { name: "Take role reader from rosa" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take it" }).click();
  await page.getByText("rosa · reader").waitFor({ state: "detached" });
  await page.getByRole("row", { name: /demo/ }).getByRole("button", { name: /Menu of/ }).click();
  await page.getByRole("menuitem", { name: "Give somebody a role" }).click();
  await page.getByRole("dialog").getByLabel("User").selectOption({ label: "rosa" });
  await page.getByRole("dialog").getByLabel("Role").selectOption({ label: "reader" });
  await page.getByRole("dialog").getByRole("button", { name: "Give" }).click();
  await page.getByText("rosa · reader").waitFor();
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});
