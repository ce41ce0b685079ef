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

test("a volume is made, attached, extended, saved, detached and deleted", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/volumes");
  await page.getByRole("heading", { name: "No volumes yet" }).waitFor();
  await page.getByRole("button", { name: "Create a volume" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("data");
  await dialog.getByLabel("Size (GiB)").fill("2");
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /data available 2 GiB nothing/ }).waitFor();

  const menu = async (name: string) => {
    await page.getByRole("main").getByRole("button", { name: "Actions" }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await page.getByRole("link", { name: "data" }).click();
  await page.getByRole("heading", { name: "data", level: 1 }).waitFor();
  await menu("Attach to a server");
  await dialog.getByRole("button", { name: "Attach" }).click();
  await page.getByRole("main").getByRole("link", { name: "web" }).waitFor();
  await page.getByText("in-use").first().waitFor();

  await menu("Extend");
  await dialog.getByLabel("New size (GiB)").fill("3");
  await dialog.getByRole("button", { name: "Extend" }).click();
  await page.getByText("3 GiB", { exact: true }).waitFor();
  await menu("Take a snapshot");
  await dialog.getByLabel("Name").fill("before");
  await dialog.getByRole("button", { name: "Take the snapshot" }).click();
  await page.getByText(/before/).first().waitFor();
  await menu("Back up");
  await dialog.getByLabel("Name").fill("copy");
  await dialog.getByRole("button", { name: "Back up" }).click();
  await page.getByText(/^copy/).first().waitFor();
  expect(await findings(page)).toEqual([]);

  await page.getByRole("main").getByRole("link", { name: "web" }).click();
  await page.getByRole("tab", { name: "Volumes" }).click();
  await page.getByRole("row", { name: /data in-use 3 GiB \/dev\// }).waitFor();
  await page.getByRole("row", { name: /data/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Detach" }).click();
  await dialog.getByRole("button", { name: "Detach" }).click();
  await page.getByRole("heading", { name: "No volumes attached" }).waitFor();

  await page.getByRole("link", { name: "Volumes", exact: true }).click();
  await page.getByRole("tab", { name: "Backups" }).click();
  await page.getByRole("row", { name: /copy available data whole 3 GiB/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Restore into a new volume" }).click();
  await dialog.getByRole("button", { name: "Restore" }).click();
  await page.getByRole("tab", { name: "Snapshots" }).click();
  await page.getByRole("row", { name: /before available data 3 GiB/ }).waitFor();
  await page.getByRole("checkbox", { name: "Select row 0" }).check();
  await page.getByRole("button", { name: "With 1 chosen" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No snapshots yet" }).waitFor();

  await page.getByRole("tab", { name: "Volumes" }).click();
  await page.getByRole("row", { name: /restore_backup.* available 3 GiB/ }).waitFor();
  await page.getByRole("row", { name: /^Select row \d data/ }).getByRole("button").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("link", { name: "data", exact: true }).waitFor({ state: "detached" });
  const { volumes } = await member.get("/volume/v3/volumes");
  expect(volumes.map((found: { name: string }) => found.name)).toEqual([expect.stringMatching(/^restore_backup/)]);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a volume from an image starts a server; what can't be is said", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/volumes");
  await page.getByRole("button", { name: "Create a volume" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("root");
  await dialog.getByLabel("Starts with").selectOption({ label: "image tiny" });
  await dialog.getByLabel("Size (GiB)").fill("0");
  await dialog.getByText("A whole number of GiB.").waitFor();
  expect(await dialog.getByRole("button", { name: "Create" }).isDisabled()).toBe(true);
  await dialog.getByLabel("Size (GiB)").fill("1");
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /root available 1 GiB nothing yes/ }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a server is launched with its disk in a new volume, which is kept when it goes", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/servers/launch");
  await page.getByLabel("Name").fill("lasting");
  await page.getByRole("button", { name: /^More/ }).click();
  await page.getByLabel("Its disk is").selectOption("new-keep");
  await page.getByLabel("Size of the volume (GiB)").fill("3");
  await page.getByRole("button", { name: "Launch", exact: true }).click();
  await page.getByRole("heading", { name: "lasting", level: 1 }).waitFor();
  await page.getByText("none; it starts from a volume").waitFor();
  await page.getByRole("tab", { name: "Volumes" }).click();
  await page.getByRole("row", { name: /in-use 3 GiB \/dev\/vda/ }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a reader sees volumes and nothing to do with them", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "rosa", PASSWORD, "/dashboard/volumes");
  await page.getByRole("link", { name: "root" }).waitFor();
  expect(await page.getByRole("main").getByRole("button", { name: /Create a|Menu of|chosen/ }).count()).toBe(0);
  expect(await page.getByRole("checkbox").count()).toBe(0);
  await page.getByRole("link", { name: "root" }).click();
  await page.getByRole("heading", { name: "root", level: 1 }).waitFor();
  expect(await page.getByRole("main").getByRole("button", { name: "Actions" }).count()).toBe(0);
  expect(problems).toEqual([]);
  await page.context().close();
});
