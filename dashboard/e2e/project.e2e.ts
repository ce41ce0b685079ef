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

test("a network and a router are made and connected in the drawing, with the keyboard alone, and disconnected again", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/topology");
  const dialog = page.getByRole("dialog", { name: /(Create|Disconnect) / });
  await page.getByRole("button", { name: "Create a network" }).first().click();
  await dialog.getByLabel("Name").fill("lab");
  await dialog.getByLabel(/^Connect it to/).uncheck();
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("button", { name: /^Network lab/ }).waitFor();
  await page.getByRole("button", { name: "Create a router" }).click();
  await dialog.getByLabel("Name").fill("middle");
  await dialog.getByRole("button", { name: "Create" }).click();
  await page.getByRole("button", { name: /^Router middle/ }).focus();
  await page.keyboard.press("Enter");
  const side = page.getByRole("dialog", { name: "middle" });
  await side.getByLabel("Network to connect to").selectOption({ label: "lab" });
  await side.getByRole("button", { name: "Connect", exact: true }).focus();
  await page.keyboard.press("Enter");
  await side.getByRole("button", { name: "Disconnect from lab" }).waitFor();
  const { routers } = await member.get("/network/v2.0/routers?name=middle");
  const joined = async () => (await member.get(`/network/v2.0/ports?device_id=${routers[0].id}&device_owner=network:router_interface`)).ports;
  expect(await joined()).toHaveLength(1);
  expect(await findings(page)).toEqual([]);
  await side.getByRole("button", { name: "Disconnect from lab" }).click();
  await dialog.getByRole("button", { name: "Disconnect" }).click();
  await side.getByRole("button", { name: "Disconnect from lab" }).waitFor({ state: "detached" });
  await expect.poll(async () => (await joined()).length).toBe(0);
  await page.keyboard.press("Escape");
  await side.waitFor({ state: "detached" });
  expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch(/^Router middle/);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("a line drawn from a server to a network connects it; the drawing follows what others do", async () => {
  const [office, backstage] = await Promise.all(["front", "backstage"].map(async (name, index) => {
    const { network } = await member.post("/network/v2.0/networks", { network: { name } });
    await member.post("/network/v2.0/subnets", { subnet: { network_id: network.id, ip_version: 4, cidr: `10.7${index}.0.0/24` } });
    return network.id as string;
  }));
  await member.servers("web", 1, [{ uuid: office }]);
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD, "/dashboard/topology");
  const web = page.getByRole("button", { name: /^Server web 10\.70/ });
  await web.waitFor();
  const [from, to] = [await web.boundingBox(), await page.getByRole("button", { name: /^Network backstage/ }).boundingBox()];
  if (!from || !to) throw new Error("There is nothing to draw a line between.");
  await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(to.x + 20, to.y + 20, { steps: 8 });
  await page.locator(".st-node.target.over").waitFor();
  await page.mouse.up();
  const { servers } = await member.get("/compute/v2.1/servers?name=web");
  await expect.poll(async () => (await member.get(`/compute/v2.1/servers/${servers[0].id}/os-interface`)).interfaceAttachments.map((card: { net_id: string }) => card.net_id)).toContain(backstage);
  await web.focus();
  await page.keyboard.press("Enter");
  const side = page.getByRole("dialog", { name: "web" });
  await side.getByRole("button", { name: "Disconnect from backstage" }).click();
  await page.getByRole("dialog", { name: /Disconnect web/ }).getByRole("button", { name: "Disconnect" }).click();
  await side.getByRole("button", { name: "Disconnect from backstage" }).waitFor({ state: "detached" });

  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-stop": null });
  await page.getByRole("button", { name: /^Server web shutoff/ }).waitFor();
  await page.getByRole("button", { name: /^Network front/ }).press("Enter");
  await page.getByRole("dialog", { name: "front" }).getByRole("link", { name: "Launch a server on it" }).click();
  await page.getByRole("heading", { name: "Launch a server", level: 1 }).waitFor();
  await page.getByText(/On network front/).waitFor();
  expect(problems).toEqual([]);
  await page.context().close();
});

test("what is looked for in the drawing is found; a reader only looks", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, "rosa", PASSWORD, "/dashboard/topology");
  await page.getByRole("button", { name: /^Router middle/ }).click();
  const side = page.getByRole("dialog", { name: "middle" });
  await side.getByRole("link", { name: "All routers" }).waitFor();
  expect(await page.getByRole("button", { name: /^(Connect|Disconnect|Create) / }).count()).toBe(0);
  await side.getByRole("button", { name: "Close" }).click();
  for (let number = 0; number < 6; number++) await member.post("/network/v2.0/networks", { network: { name: `floor-${number}` } });
  await page.getByRole("button", { name: /^Network floor-3/ }).waitFor();
  await page.getByLabel("Find in the drawing").fill("floor-3");
  await page.locator(".st-node.dim").first().waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "floor-3" }).waitFor();
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});
