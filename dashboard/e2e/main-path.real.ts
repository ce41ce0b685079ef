import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { logIn, startBrowser, visit } from "./browser";
import { Cloud, PASSWORD, root, run } from "./cloud";

/** The main path on real drivers (libvirt, OVN); it needs root. Nothing outside of the cloud's own namespaces is touched. */
let cloud: Cloud;
let browser: Browser;
const folder = mkdtempSync(join(tmpdir(), "main-path-"));
const python = join(root, ".venv/bin/python");
const BOOTS = 240_000;

beforeAll(async () => {
  await run(python, ["-m", "stackling.deploy.guest.build", join(folder, "tiny.qcow2")], { cwd: root });
  cloud = await Cloud.start({ real: true });
  browser = await startBrowser();
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The namespace that stands for the world outside of an isolated cloud. */
function outside(): string {
  const code = "import sys; from pathlib import Path; from stackling.deploy.embedded.directory import StateDirectory; print(StateDirectory.at(Path(sys.argv[1])).instance)";
  return `${execFileSync(python, ["-c", code, cloud.directory], { cwd: root, encoding: "utf8" }).trim()}-outside`;
}

async function ssh(address: string, key: string, command: string): Promise<string> {
  const options = ["BatchMode=yes", "ConnectTimeout=3", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "LogLevel=ERROR"];
  const { stdout } = await run("nsenter", [`--net=/run/netns/${outside()}`, "--", "ssh", ...options.flatMap((option) => ["-o", option]), "-i", key, `root@${address}`, command], { timeout: 30_000 });
  return stdout.trim();
}

test("log in, image, key, SSH let in, launch, a public address by one click, the login prompt in the console, SSH", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/images");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Upload an image" }).click();
  await page.locator("input[type=file]").setInputFiles(join(folder, "tiny.qcow2"));
  await dialog.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("row", { name: /tiny active .* qcow2/ }).waitFor();

  await page.getByRole("link", { name: "Key pairs" }).click();
  await page.getByRole("button", { name: "Create a key pair" }).click();
  await dialog.getByLabel("Name").fill("laptop");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Create and download" }).click()]);
  const key = join(folder, "key");
  await download.saveAs(key);
  chmodSync(key, 0o600);

  await page.getByRole("link", { name: "Security groups" }).click();
  await page.getByRole("link", { name: "default" }).click();
  await page.getByRole("button", { name: "SSH", exact: true }).click();
  await page.getByText("In: SSH (tcp 22) from anywhere.").waitFor();

  await page.getByRole("link", { name: "Servers", exact: true }).click();
  await page.getByRole("link", { name: "Launch a server" }).click();
  await page.getByLabel("Name").fill("web");
  await page.getByRole("button", { name: /^More/ }).click();
  await page.getByLabel("Give it a public address").uncheck();
  await page.getByRole("button", { name: "Launch", exact: true }).click();
  await page.getByRole("heading", { name: "web", level: 1 }).waitFor();
  await page.getByText("active", { exact: true }).first().waitFor({ timeout: BOOTS });

  await page.getByRole("button", { name: "Give a public address" }).first().click();
  const said = await page.getByText(/web answers on [\d.]+/).textContent();
  const address = /[\d.]+\d/.exec(said ?? "")?.[0] ?? "";
  await page.getByRole("tab", { name: "Console" }).click();
  await page.locator(".st-console[data-state=open] canvas").waitFor({ timeout: BOOTS });
  await page.getByRole("button", { name: "Serial port" }).click();
  await page.locator(".st-console[data-state=open]").waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".xterm-rows").getByText("login:").last().waitFor({ timeout: BOOTS });
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, "real-serial.png") });
  await page.getByRole("button", { name: "Screen", exact: true }).click();
  await page.locator(".st-console[data-state=open] canvas").waitFor();
  await page.waitForTimeout(2000);
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, "real-screen.png") });

  await expect.poll(() => ssh(address, key, "hostname").catch(() => ""), { timeout: BOOTS, interval: 1000 }).toBe("web");
  expect(problems).toEqual([]);

  await page.getByRole("tab", { name: "Overview" }).click();
  await page.getByRole("button", { name: "Actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { name: "No servers yet" }).waitFor({ timeout: BOOTS });
  await page.context().close();
});
