import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud, PASSWORD } from "./cloud";

let cloud: Cloud;
let browser: Browser;

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test("log in, launch, public address by itself, shut down, delete", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD);
  await page.getByRole("link", { name: "Servers", exact: true }).click();
  await page.getByRole("heading", { name: "No servers yet" }).waitFor();
  await page.getByRole("link", { name: "Launch a server" }).click();
  await page.getByLabel("Name").fill("web");
  await page.getByRole("button", { name: "Launch", exact: true }).click();
  await page.getByRole("heading", { name: "web", level: 1 }).waitFor();
  const answer = await page.getByText(/web answers on [\d.]+/).textContent();
  const address = /[\d.]+\d/.exec(answer ?? "")?.[0] ?? "";
  await page.getByRole("main").getByText(address).first().waitFor();

  const member = await cloud.member();
  const { floatingips } = await member.get(`/network/v2.0/floatingips?floating_ip_address=${address}`);
  expect(floatingips[0].port_id).not.toBeNull();

  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: "Shut down" }).click();
  await page.getByText("shutoff").waitFor();

  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No servers yet" }).waitFor();
  expect((await member.get("/compute/v2.1/servers")).servers).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a freed address is given to the next server, and released", async () => {
  const member = await cloud.member();
  const { networks } = await member.get("/network/v2.0/networks?router:external=false");
  await member.servers("second", 1, [{ uuid: networks[0].id }]);
  const before = (await member.get("/network/v2.0/floatingips")).floatingips;
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "second" }).click();
  await page.getByRole("button", { name: "Give a public address" }).first().click();
  await page.getByText(`second answers on ${before[0].floating_ip_address}`).waitFor();
  expect((await member.get("/network/v2.0/floatingips")).floatingips).toHaveLength(before.length);
  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: `Release ${before[0].floating_ip_address}` }).click();
  await page.getByRole("button", { name: "Give a public address" }).first().waitFor();
  expect((await member.get("/network/v2.0/floatingips")).floatingips).toHaveLength(0);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("somebody else's change shows without a reload", async () => {
  const member = await cloud.member();
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "second" }).waitFor();
  const { networks } = await member.get("/network/v2.0/networks?router:external=false");
  await member.servers("third", 1, [{ uuid: networks[0].id }]);
  await page.getByRole("link", { name: "third" }).waitFor({ timeout: 10_000 });
  await page.context().close();
});

test("a reader sees servers and nothing to do with them", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "rosa", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "second" }).waitFor();
  expect(await page.getByRole("main").getByRole("link", { name: "Launch a server" }).count()).toBe(0);
  expect(await page.getByRole("checkbox").count()).toBe(0);
  await page.getByRole("link", { name: "second" }).click();
  await page.getByRole("heading", { name: "second", level: 1 }).waitFor();
  expect(await page.getByRole("main").getByRole("button", { name: /Actions|address/ }).count()).toBe(0);
  expect(await page.getByRole("link", { name: "Hosts and services" }).count()).toBe(0);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("refresh asks for the password and comes back to the same page; so does the back button", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "second" }).click();
  await page.getByRole("tab", { name: "Timeline" }).click();
  const url = page.url();
  await page.reload();
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("gridcell", { name: "create" }).or(page.getByRole("cell", { name: "create" })).first().waitFor();
  expect(page.url()).toBe(url);
  await page.goBack();
  await page.getByRole("link", { name: "second" }).waitFor();
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage, cookies: document.cookie }));
  expect(stored).not.toContain("gAAAA");
  await page.context().close();
});

test("a wrong password is said so", async () => {
  const { page } = await visit(browser, cloud.url);
  await page.goto("/dashboard/");
  await page.getByLabel("User name").fill("maria");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("User name, domain and password don't match.").waitFor();
  expect(await findings(page)).toEqual([]);
  await page.context().close();
});

test("a session that has ended asks for the password over the page, which stays", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers/launch");
  await page.getByLabel("Name").fill("half-typed");
  await page.route("**/compute/**", (route) => route.fulfill({ status: 401, json: { error: { code: 401, message: "The token is expired." } } }));
  await page.getByRole("button", { name: "Launch", exact: true }).click();
  await page.getByText("Your session has ended").waitFor();
  await page.unroute("**/compute/**");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("Your session has ended").waitFor({ state: "hidden" });
  expect(await page.getByLabel("Name").inputValue()).toBe("half-typed");
  await page.context().close();
});

test("a cloud that stops answering is said so, and its return is noticed", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "second" }).click();
  await page.getByRole("heading", { name: "second", level: 1 }).waitFor();
  await page.route("**/compute/**", (route) => route.abort());
  await page.getByText(/The cloud doesn't answer/).waitFor();
  await page.unroute("**/compute/**");
  await page.getByText(/The cloud doesn't answer/).waitFor({ state: "detached" });
  await page.context().close();
});
