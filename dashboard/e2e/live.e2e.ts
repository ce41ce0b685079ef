import { connect, createServer, type Server, type Socket } from "node:net";
import type { Browser, Request } from "playwright-core";
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

/** A way to the cloud that can be cut: the browser's connections end, and new ones are refused until it is mended. */
class Line {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;

  private constructor(private readonly target: { host: string; port: number }, private port = 0) {}

  static async to(url: string): Promise<Line> {
    const { hostname: host, port } = new URL(url);
    const line = new Line({ host, port: Number(port) });
    await line.mend();
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async mend(): Promise<void> {
    this.server = createServer((near) => {
      const far = connect(this.target);
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on("error", () => undefined).on("close", () => {
          near.destroy();
          far.destroy();
          this.sockets.delete(socket);
        });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => this.server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as { port: number }).port;
  }

  cut(): void {
    this.server?.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

test("events tell what has changed, and nobody asks in between", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  const asked: string[] = [];
  page.on("request", (request: Request) => asked.push(request.url()));
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("row", { name: /web active/ }).waitFor();
  const stream = asked.find((url) => url.includes("/stackling/v1/events"));
  expect(stream).toBeDefined();
  expect(stream).not.toMatch(/token|gAAAA/i);
  await page.waitForTimeout(4000);
  asked.length = 0;
  await page.waitForTimeout(6000);
  expect(asked.filter((url) => url.includes("changes-since")).length).toBeLessThanOrEqual(1);
  const { servers } = await member.get("/compute/v2.1/servers?name=web");
  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-stop": null });
  await page.getByRole("row", { name: /web shutoff/ }).waitFor({ timeout: 8000 });
  expect(problems).toEqual([]);
  await page.context().close();
});

test("another project's events don't come", async () => {
  await cloud.stranger();
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "nora", PASSWORD, "/dashboard/networks");
  await page.getByRole("heading", { name: "Networks", level: 1 }).waitFor();
  const asked: string[] = [];
  await page.waitForTimeout(3000);
  page.on("request", (request: Request) => asked.push(request.url()));
  const { servers } = await member.get("/compute/v2.1/servers?name=web");
  await member.post(`/compute/v2.1/servers/${servers[0].id}/action`, { "os-start": null });
  await page.waitForTimeout(3000);
  expect(asked.filter((url) => url.includes("/compute/"))).toEqual([]);
  await page.context().close();
});

test("without events the pages ask by themselves", async () => {
  const { page } = await visit(browser, cloud.url);
  await page.route("**/stackling/v1/events*", (route) => route.fulfill({ status: 404, json: { error: { code: 404, message: "no" } } }));
  await logIn(page, "maria", PASSWORD, "/dashboard/servers");
  await page.getByRole("row", { name: /web active/ }).waitFor();
  const { networks } = await member.get("/network/v2.0/networks?name=office");
  await member.servers("later", 1, [{ uuid: networks[0].id }]);
  await page.getByRole("link", { name: "later" }).waitFor({ timeout: 10_000 });
  await page.context().close();
});

test("a stream that breaks off is taken up again, and what happened meanwhile is seen", async () => {
  const line = await Line.to(cloud.url);
  const { page } = await visit(browser, line.url);
  const streams: Request[] = [];
  page.on("request", (request) => request.url().includes("/stackling/v1/events") && streams.push(request));
  await logIn(page, "maria", PASSWORD, "/dashboard/networks");
  await page.getByText("office").first().waitFor();
  await expect.poll(() => streams.length).toBe(1);
  await page.waitForTimeout(2000);
  line.cut();
  await member.post("/network/v2.0/networks", { network: { name: "meanwhile" } });
  await line.mend();
  await page.getByText("meanwhile").first().waitFor({ timeout: 15_000 });
  await expect.poll(() => streams.at(-1)?.headers()["last-event-id"]).toMatch(/^\d+-\d+$/);
  await page.context().close();
  line.cut();
});

test("the audit tells who did what, and filters; settings are shown", async () => {
  const { page, problems } = await visit(browser, cloud.url);
  await logIn(page, cloud.admin.name, cloud.admin.password, "/dashboard/admin/audit");
  await page.getByRole("row", { name: /maria demo create server web/ }).first().waitFor();
  expect(await page.getByText("the cloud (agent)").count()).toBe(0);
  await page.getByLabel("Kind").selectOption("network");
  await page.getByRole("row", { name: /maria demo create network office/ }).waitFor();
  expect(await page.getByRole("row", { name: /server web/ }).count()).toBe(0);
  await page.getByLabel("Kind").selectOption("");
  await page.getByText("What the cloud did by itself, too").click();
  await page.getByText("the cloud (agent)").first().waitFor();
  await page.getByRole("row", { name: /maria demo create server web/ }).getByRole("link", { name: "web" }).first().waitFor();
  expect(await findings(page)).toEqual([]);
  await page.getByRole("link", { name: "Settings" }).click();
  await page.getByRole("row", { name: /region RegionOne the name of the region/ }).waitFor();
  await page.getByRole("row", { name: /hosts 3 not the default: 1/ }).waitFor();
  await page.getByLabel("Search").fill("lockout");
  await page.getByRole("row", { name: /lockout_duration/ }).waitFor();
  expect(await page.getByRole("row", { name: /region/ }).count()).toBe(0);
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});

test("members don't see the administrators' pages", async () => {
  const { page } = await visit(browser, cloud.url);
  await logIn(page, "maria", PASSWORD);
  expect(await page.getByRole("link", { name: "Audit" }).count()).toBe(0);
  expect(await page.getByRole("link", { name: "Settings" }).count()).toBe(0);
  await page.context().close();
});
