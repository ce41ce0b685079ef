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

test("the serial port shows what the server says and takes what is typed; the screen connects", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "web" }).click();
  await page.getByText("active").first().waitFor();
  await page.getByRole("tab", { name: "Console" }).click();
  await page.locator(".st-console[data-state=open] canvas").waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("button", { name: "Serial port" }).click();
  await page.locator(".st-console[data-state=open]").waitFor();
  await page.locator(".xterm-rows").getByText("login:").waitFor();
  await page.keyboard.type("maria");
  await page.locator(".xterm-rows").getByText("login: maria").waitFor();
  expect(await findings(page)).toEqual([]);
  await page.keyboard.press("Control+F6");
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Connect again");

  const { servers } = await member.get("/compute/v2.1/servers");
  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-stop": null });
  await page.getByRole("heading", { name: "The server isn't running" }).waitFor();
  expect(problems).toEqual([]);
  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-start": null });
  await page.locator(".xterm-rows, .st-console canvas").first().waitFor();
  await page.context().close();
});

test("the screen opens in a window of its own, beside the page's", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("link", { name: "web" }).click();
  await page.getByRole("tab", { name: "Console" }).click();
  await page.locator(".st-console[data-state=open] canvas").waitFor();
  const opening = page.waitForEvent("popup");
  await page.getByRole("button", { name: "In a window of its own" }).click();
  const own = await opening;
  await own.locator("canvas").waitFor();
  await own.locator("#words").waitFor({ state: "hidden" });
  await page.locator(".st-console[data-state=open] canvas").waitFor();
  await own.reload();
  await own.getByText("The console can't be reached: its address was used before").waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("the address that `openstack console url show --novnc` gives opens in a browser, and a false one says so", async () => {
  const { servers } = await member.get("/compute/v2.1/servers");
  const ask = () => member.post(`/compute/v2.1/servers/${servers[0].id}/remote-consoles`, { remote_console: { protocol: "vnc", type: "novnc" } });
  const { remote_console: found } = await ask();
  const { page, problems } = await visit(browser, cloud.url);
  await page.goto(found.url);
  await page.locator("canvas").waitFor();
  await page.locator("#words").waitFor({ state: "hidden" });
  expect(problems).toEqual([]);
  await page.reload();
  await page.locator("canvas").waitFor();
  await page.locator("#words").waitFor({ state: "hidden" });
  await page.goto(found.url.replace(/token%3D.*/, "token%3Dwrong"));
  await page.getByText("The console can't be reached").waitFor();
  await page.context().close();
});
