import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud } from "./cloud";

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

const links = (page: Page) => page.getByRole("navigation", { name: "Pages" }).getByRole("link");

test("while the cloud doesn't answer, every page opens and says so once; it goes on by itself", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  const fetched = page.waitForResponse(/\/static\/UsersPage-/);
  await logIn(page, cloud.admin.name, cloud.admin.password);
  await fetched;
  const names = (await links(page).allTextContents()).filter((name) => !["Overview", "Topology"].includes(name));
  expect(names.length).toBeGreaterThan(20);
  await page.context().setOffline(true);
  for (const name of names) {
    await links(page).filter({ hasText: new RegExp(`^${name}$`) }).click();
    await page.getByRole("heading", { level: 1 }).waitFor();
    if (name === "API access") continue;
    await page.getByRole("main").getByText(/The cloud doesn't answer/).waitFor();
    expect(await page.getByRole("main").getByText("That didn't work").count(), name).toBe(0);
    expect(await page.getByRole("main").getByText(/The cloud doesn't answer/).count(), name).toBe(1);
    if (name === "Servers") expect(await findings(page)).toEqual([]);
  }
  await links(page).filter({ hasText: /^Topology$/ }).click();
  await page.getByRole("heading", { name: "The cloud doesn't answer", level: 1 }).waitFor();
  expect(await findings(page)).toEqual([]);
  await page.context().setOffline(false);
  await page.getByRole("heading", { name: "Topology", level: 1 }).waitFor();
  await page.getByText("Nothing to draw yet").waitFor();
  expect(await page.getByText(/The cloud doesn't answer/).count()).toBe(0);
  expect(problems.filter((problem) => !problem.includes("ERR_INTERNET_DISCONNECTED"))).toEqual([]);
  await page.context().close();
});

test("where an answer doesn't come, the page says so until it does", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  let answer = () => undefined as void;
  const held = new Promise<void>((resolve) => { answer = resolve; });
  await page.route("**/network/v2.0/routers?*", async (route) => {
    await held;
    await route.continue();
  });
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/routers");
  await page.getByText("What is shown may be out of date", { exact: false }).waitFor();
  answer();
  await page.getByText("No routers yet").waitFor();
  await page.getByText(/The cloud doesn't answer/).waitFor({ state: "detached" });
  expect(problems).toEqual([]);
  await page.context().close();
});
