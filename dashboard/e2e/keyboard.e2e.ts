import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { type Account, Cloud, PASSWORD } from "./cloud";

/** Nothing here is clicked. */
let cloud: Cloud;
let browser: Browser;
let member: Account;

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  member = await cloud.member();
  for (const name of ["office", "backstage"]) await member.post("/network/v2.0/networks", { network: { name } });
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

const isFocused = (found: Locator) => expect.poll(() => found.evaluate((element) => element === document.activeElement), { message: String(found) }).toBe(true);
const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent ?? "");

async function press(found: Locator, key = "Enter"): Promise<void> {
  await found.focus();
  await found.press(key);
}

/** Open the menu of *toggle*, go down to *title*, and choose it. */
async function choose(page: Page, toggle: Locator, title: string): Promise<void> {
  await press(toggle);
  await expect.poll(() => page.evaluate(() => document.activeElement?.getAttribute("role"))).toBe("menuitem");
  for (let step = 0; step < 12 && (await focused(page)) !== title; step++) await page.keyboard.press("ArrowDown");
  expect(await focused(page)).toBe(title);
  await page.keyboard.press("Enter");
}

test("the focus goes back to where a dialog was opened from, by button and by menu", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  const dialog = page.getByRole("dialog");
  const create = page.getByRole("button", { name: "Create a network" });
  await press(create);
  await isFocused(dialog.getByLabel("Name"));
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await isFocused(create);

  const row = page.getByRole("row", { name: / office / });
  await choose(page, row.getByRole("button", { name: /^Menu of office/ }), "Delete");
  await isFocused(dialog.getByRole("button", { name: "Cancel" }));
  for (const name of ["Close", "Delete", "Cancel"]) {
    await page.keyboard.press("Tab");
    await isFocused(dialog.getByRole("button", { name }));
  }
  expect(await findings(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await isFocused(row.getByRole("button", { name: /^Menu of office/ }));

  await press(row.getByRole("checkbox"), "Space");
  const bulk = page.getByRole("button", { name: "With 1 chosen" });
  await choose(page, bulk, "Delete");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await isFocused(bulk);
  await page.getByRole("link", { name: "office", exact: true }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a link leads the focus to the page that it opens; that page's menu and dialog give it back", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  await press(page.getByRole("link", { name: "office", exact: true }));
  await page.getByRole("heading", { name: "office", level: 1 }).waitFor();
  await isFocused(page.getByRole("main"));
  const actions = page.getByRole("button", { name: "Actions" });
  await choose(page, actions, "Rename");
  const dialog = page.getByRole("dialog");
  await isFocused(dialog.getByLabel("Name"));
  await dialog.getByLabel("Name").fill("study");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "study", level: 1 }).waitFor();
  await isFocused(actions);
  const routers = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Routers" });
  await press(routers);
  await page.getByRole("heading", { name: "Routers", level: 1 }).waitFor();
  await isFocused(routers);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a server is launched without a pointer, and what was said beside its fields is in their order", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await press(page.getByRole("link", { name: "Launch a server" }));
  await isFocused(page.getByLabel(/^Name/));
  await page.keyboard.type("web");
  for (const next of [page.getByRole("combobox", { name: "Image" }), page.getByRole("combobox", { name: "Size" }), page.getByRole("link", { name: "Make a key pair to log in with." }), page.getByRole("button", { name: /^More/ })]) {
    await page.keyboard.press("Tab");
    await isFocused(next);
  }
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await isFocused(page.getByRole("combobox", { name: "Network", exact: true }));
  await press(page.getByRole("button", { name: "Launch", exact: true }));
  await page.getByRole("heading", { name: "web", level: 1 }).waitFor();
  expect(await page.evaluate(() => document.activeElement === document.body)).toBe(false);
  expect(problems).toEqual([]);
  await page.context().close();
});
