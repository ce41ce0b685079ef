import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud, PASSWORD } from "./cloud";

let cloud: Cloud;
let browser: Browser;
const folder = mkdtempSync(join(tmpdir(), "access-"));

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Whether a credential lets in, and the roles that it gives. */
async function roles(id: string, secret: string): Promise<string[] | null> {
  const response = await fetch(`${cloud.url}/identity/v3/auth/tokens`, { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ auth: { identity: { methods: ["application_credential"], application_credential: { id, secret } } } }) });
  if (!response.ok) return null;
  return ((await response.json()) as { token: { roles: { name: string }[] } }).token.roles.map((role) => role.name).sort();
}

test("a program gets a credential of its own, with less than its user may do, and loses it again", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/access");
  await page.getByRole("heading", { name: "No credentials yet" }).waitFor();
  await page.getByRole("button", { name: "Create a credential" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("backup");
  await dialog.getByLabel("Ends").selectOption({ label: "after 30 days" });
  await dialog.getByLabel("May do").selectOption({ label: "only what role reader allows" });
  expect(await findings(page)).toEqual([]);
  const [download] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Create and download" }).click()]);
  expect(download.suggestedFilename()).toBe("clouds.yaml");
  const file = join(folder, "clouds.yaml");
  await download.saveAs(file);
  const text = readFileSync(file, "utf8");
  expect(text).not.toContain(PASSWORD);
  const field = (name: string) => new RegExp(`${name}: "?([^"\\n]+)"?`).exec(text)?.[1] ?? "";
  const [id, secret] = [field("application_credential_id"), field("application_credential_secret")];
  expect(await roles(id, secret)).toEqual(["reader"]);
  const row = page.getByRole("row", { name: /backup reader/ });
  await row.getByRole("button", { name: "Menu of backup" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await row.waitFor({ state: "detached" });
  expect(await roles(id, secret)).toBeNull();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("somebody changes the own password, and goes on; the old one is no use any more", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "rosa", PASSWORD, "/dashboard/servers");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "User: rosa" }).click();
  await page.getByRole("menuitem", { name: "Change your password" }).click();
  await dialog.getByLabel("Old password").fill("not the one");
  await dialog.getByLabel("New password").fill("another long one");
  await dialog.getByLabel("The new one again").fill("another long on");
  await dialog.getByText("The two differ.").waitFor();
  expect(await dialog.getByRole("button", { name: "Change" }).isDisabled()).toBe(true);
  await dialog.getByLabel("The new one again").fill("another long one");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.getByText("The old password isn't right.").waitFor();
  expect(await findings(page)).toEqual([]);
  await dialog.getByLabel("Old password").fill(PASSWORD);
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Images" }).click();
  await page.getByRole("heading", { name: "Images", level: 1 }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();

  const again = await visit(browser, cloud.url);
  await again.page.goto("/dashboard/");
  await again.page.getByLabel("User name").fill("rosa");
  await again.page.getByLabel("Password").fill(PASSWORD);
  await again.page.getByRole("button", { name: "Log in" }).click();
  await again.page.getByText("User name, domain and password don't match.").waitFor();
  await logIn(again.page, "rosa", "another long one");
  await again.page.context().close();
});
