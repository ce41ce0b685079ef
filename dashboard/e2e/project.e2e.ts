import { execFileSync } from "node:child_process";
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
});

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test("a key pair is made in the browser: OpenSSH reads what is downloaded, and only the public half is sent", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  const sent: string[] = [];
  page.on("request", (request) => sent.push(request.postData() ?? ""));
  await logIn(page, "maria", PASSWORD, "/dashboard/key-pairs");
  await page.getByRole("button", { name: "Create a key pair" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill("laptop");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Create and download" }).click()]);
  const directory = mkdtempSync(join(tmpdir(), "key-"));
  try {
    const file = join(directory, download.suggestedFilename());
    await download.saveAs(file);
    chmodSync(file, 0o600);
    const { keypair } = await member.get("/compute/v2.1/os-keypairs/laptop");
    expect(execFileSync("ssh-keygen", ["-y", "-f", file], { encoding: "utf8" }).trim()).toBe(keypair.public_key);
  } finally {
    rmSync(directory, { recursive: true });
  }
  expect(sent.join("\n")).not.toContain("PRIVATE KEY");
  expect(problems).toEqual([]);
  await page.context().close();
});

test("an image is uploaded and becomes active", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/images");
  await page.getByRole("button", { name: "Upload an image" }).click();
  await page.locator("input[type=file]").setInputFiles({ name: "mine.img", mimeType: "application/octet-stream", buffer: Buffer.alloc(3 << 20) });
  await page.getByRole("dialog").getByRole("button", { name: "Upload" }).click();
  await page.getByRole("row", { name: /mine active 3 MiB raw/ }).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a network, and SSH let in by one click, which is then said in plain words", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  await page.getByRole("button", { name: "Create a network" }).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill("office");
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("row", { name: /office active/ }).waitFor();
  const { ports } = await member.get("/network/v2.0/ports?device_owner=network:router_interface");
  expect(ports).toHaveLength(1);
  await page.getByRole("link", { name: "Security groups" }).click();
  await page.getByRole("link", { name: "default" }).click();
  await page.getByRole("button", { name: "SSH", exact: true }).click();
  await page.getByText("In: SSH (tcp 22) from anywhere.").waitFor();
  await page.getByText("SSH is in").waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("what the API refuses is shown in its own words, and the form stays", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  await page.getByRole("button", { name: "Create a network" }).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill("broken");
  await page.route("**/v2.0/networks", (route) => route.fulfill({ status: 409, headers: { "x-openstack-request-id": "req-1" }, json: { NeutronError: { type: "OverQuota", message: "Quota exceeded for resources: ['network'].", detail: "" } } }));
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await page.getByRole("dialog").getByText("Quota exceeded for resources: ['network'].").waitFor();
  await page.getByRole("dialog").getByText("req-1").waitFor();
  expect(await page.getByRole("dialog").getByLabel("Name").inputValue()).toBe("broken");
  await page.context().close();
});

test("a network and a router are made and connected in the drawing, and disconnected again", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/topology");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create a network" }).first().click();
  await dialog.getByLabel("Name").fill("lab");
  await dialog.getByLabel(/^Connect it to/).uncheck();
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("link", { name: /lab/ }).waitFor();
  await page.getByRole("button", { name: "Create a router" }).click();
  await dialog.getByLabel("Name").fill("middle");
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("button", { name: "Connect middle to a network" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Connect to lab" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Disconnect middle here" }).waitFor();
  const { routers } = await member.get("/network/v2.0/routers?name=middle");
  const joined = async () => (await member.get(`/network/v2.0/ports?device_id=${routers[0].id}&device_owner=network:router_interface`)).ports;
  expect(await joined()).toHaveLength(1);
  expect(await findings(page)).toEqual([]);
  await page.getByRole("button", { name: "Disconnect middle here" }).click();
  await dialog.getByRole("button", { name: "Disconnect" }).click();
  await page.getByRole("button", { name: "Disconnect middle here" }).waitFor({ state: "detached" });
  await expect.poll(async () => (await joined()).length).toBe(0);
  expect(problems).toEqual([]);
  await page.context().close();
});
