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
  await member.servers("web", 2, [{ uuid: await member.network("office") }]);
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test("a load balancer before two servers gets a public address, loses a server, and goes", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/load-balancers");
  await page.getByRole("button", { name: "Create a load balancer" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("front");
  await dialog.getByLabel(/^web-1/).check();
  await dialog.getByLabel(/^web-2/).check();
  await dialog.getByLabel("Port on the servers").fill("8080");
  expect(await findings(page)).toEqual([]);
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /front active/ }).waitFor();
  await page.getByRole("link", { name: "front" }).click();
  await page.getByRole("row", { name: /web-1 10\.20\.\d+\.\d+ 8080/ }).waitFor();
  await page.getByRole("button", { name: "Give a public address" }).click();
  const said = await page.getByText(/front answers on [\d.]+/).textContent();
  const address = /[\d.]+\d/.exec(said ?? "")?.[0] ?? "";
  const { floatingips } = await member.get(`/network/v2.0/floatingips?floating_ip_address=${address}`);
  const { loadbalancers } = await member.get("/load-balancer/v2/lbaas/loadbalancers");
  expect(floatingips[0].port_id).toBe(loadbalancers[0].vip_port_id);

  await page.getByRole("row", { name: /web-2/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Take it out" }).click();
  await page.getByRole("row", { name: /web-2/ }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Add a server" }).click();
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByRole("row", { name: /web-2 .* 8080/ }).waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("main").getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No load balancers yet" }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a server group is made, a server launched into it shows there", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/server-groups");
  await page.getByRole("button", { name: "Create a server group" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("apart");
  await page.getByRole("dialog").getByLabel("Its servers run").selectOption("anti-affinity");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /apart each on another host/ }).waitFor();
  await page.getByRole("link", { name: "Servers", exact: true }).click();
  await page.getByRole("link", { name: "Launch a server" }).click();
  await page.getByRole("heading", { name: "Launch a server", level: 1 }).waitFor();
  await page.getByLabel("Name").fill("alone");
  await page.getByRole("button", { name: /^More/ }).click();
  await page.getByLabel("Server group").selectOption({ label: "apart" });
  await page.getByRole("button", { name: "Launch", exact: true }).click();
  await page.getByRole("heading", { name: "alone", level: 1 }).waitFor();
  await page.getByRole("link", { name: "Server groups" }).click();
  await page.getByRole("row", { name: /apart/ }).getByRole("link", { name: "alone" }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("what another project has isn't there for this one, in lists and by address", async () => {
  const { page } = await visit(browser, cloud.url);
  const { servers } = await member.get("/compute/v2.1/servers");
  const { volume } = await member.post("/volume/v3/volumes", { volume: { name: "private", size: 1 } });
  await cloud.stranger();
  await logIn(page, "nora", PASSWORD, "/dashboard/servers");
  await page.getByRole("heading", { name: "No servers yet" }).waitFor();
  for (const [link, title] of [["Volumes", "No volumes yet"], ["Server groups", "No server groups yet"], ["Routers", "No routers yet"], ["Floating IPs", "No public addresses yet"]] as const) {
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: link, exact: true }).click();
    await page.getByRole("heading", { name: title }).waitFor();
  }
  for (const [path, title] of [[`/servers/${servers[0].id}`, "This server isn't there any more"], [`/volumes/${volume.id}`, "This volume isn't there any more"]] as const) {
    await page.evaluate((to) => {
      history.pushState({}, "", to);
      dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    }, `/dashboard${path}`);
    await page.getByRole("heading", { name: title }).waitFor();
  }
  await page.context().close();
});

test("a member who types an administrator's address is told whose page it is", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/admin/hosts");
  await page.getByRole("heading", { name: "This page is for administrators", level: 1 }).waitFor();
  expect(await findings(page)).toEqual([]);
  expect(await page.getByRole("navigation", { name: "Pages" }).getByText("Administration").count()).toBe(0);
  await page.context().close();
});
