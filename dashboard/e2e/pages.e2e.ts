import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findings, logIn, startBrowser, visit } from "./browser";
import { Cloud, PASSWORD } from "./cloud";

/** Pages with something on them; `SCREENSHOTS=1` keeps their pictures in docs/screenshots. */
const PAGES: [string, string, string][] = [
  ["overview", "/", "admin"], ["servers", "/servers", "Servers"], ["launch", "/servers/launch", "Launch a server"], ["server", "/servers/ID", "web-1"],
  ["server-networks", "/servers/ID?tab=networks", "web-1"],
  ["server-volumes", "/servers/ID?tab=volumes", "web-1"], ["server-console", "/servers/ID?tab=console", "web-1"],
  ["server-log", "/servers/ID?tab=log", "web-1"], ["server-timeline", "/servers/ID?tab=timeline", "web-1"], ["server-metrics", "/servers/ID?tab=metrics", "web-1"],
  ["volumes", "/volumes", "Volumes"], ["volume-snapshots", "/volumes?tab=snapshots", "Volumes"], ["volume-backups", "/volumes?tab=backups", "Volumes"], ["volume", "/volumes/VOLUME", "database"],
  ["images", "/images", "Images"], ["server-groups", "/server-groups", "Server groups"], ["key-pairs", "/key-pairs", "Key pairs"], ["topology", "/topology", "Topology"], ["networks", "/networks", "Networks"], ["network", "/networks/NETWORK", "office"],
  ["routers", "/routers", "Routers"], ["floating-ips", "/floating-ips", "Floating IPs"], ["security-groups", "/security-groups", "Security groups"],
  ["security-group", "/security-groups/GROUP", "default"], ["load-balancers", "/load-balancers", "Load balancers"], ["load-balancer", "/load-balancers/BALANCER", "front"], ["access", "/access", "API access"], ["cluster", "/admin/cluster", "Cluster"], ["hosts", "/admin/hosts", "Hosts and services"],
  ["machines", "/admin/machines", "Machines"], ["host", "/admin/hosts/host-1", "host-1"], ["machine", "/admin/machines/host-1", "host-1"],
  ["storage", "/admin/storage", "Storage"], ["aggregates", "/admin/aggregates", "Aggregates"], ["refusals", "/admin/refusals", "Refusals"], ["audit", "/admin/audit", "Audit"], ["settings", "/admin/settings", "Settings"], ["flavors", "/admin/flavors", "Flavors"], ["projects", "/admin/projects", "Projects"], ["users", "/admin/users", "Users"],
];
const pictures = join(dirname(fileURLToPath(import.meta.url)), "../../docs/screenshots");

let cloud: Cloud;
let browser: Browser;
const ids: Record<string, string> = {};

beforeAll(async () => {
  cloud = await Cloud.start();
  browser = await startBrowser();
  const admin = cloud.admin;
  const network = await admin.network("office");
  const { security_groups } = await admin.get(`/network/v2.0/security-groups?project_id=${admin.projectId}&name=default`);
  ids.GROUP = security_groups[0].id;
  ids.NETWORK = network;
  await admin.servers("web", 4, [{ uuid: network }]);
  const { servers } = await admin.get("/compute/v2.1/servers?name=web-1");
  ids.ID = servers[0].id;
  const { ports } = await admin.get(`/network/v2.0/ports?device_id=${ids.ID}`);
  const { networks } = await admin.get("/network/v2.0/networks?router:external=true");
  await admin.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: networks[0].id, port_id: ports[0].id } });
  await admin.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: networks[0].id } });
  await furnish(network, ports[0].fixed_ips[0]);
  if (process.env.SCREENSHOTS) mkdirSync(pictures, { recursive: true });
});

/** Something for every page to show. */
async function furnish(network: string, fixed: { subnet_id: string; ip_address: string }): Promise<void> {
  const { admin } = cloud;
  const [{ images }, { flavor }] = await Promise.all([
    admin.get("/image/v2/images"), admin.post("/compute/v2.1/flavors", { flavor: { name: "giant", ram: 64_000_000, vcpus: 1, disk: 1 } })]);
  await admin.ask("PUT", `/compute/v2.1/os-quota-sets/${admin.projectId}`, { quota_set: { ram: -1, cores: -1 } });
  await admin.post("/compute/v2.1/servers", { server: { name: "too-big", imageRef: images[0].id, flavorRef: flavor.id, networks: [{ uuid: network }] } });
  const { volume } = await admin.post("/volume/v3/volumes", { volume: { name: "database", description: "what the shop knows", size: 20 } });
  const { volume: root } = await admin.post("/volume/v3/volumes", { volume: { name: "root", size: 2, imageRef: images[0].id } });
  await available(volume.id);
  await available(root.id);
  ids.VOLUME = volume.id;
  await admin.post("/volume/v3/snapshots", { snapshot: { volume_id: volume.id, name: "before-the-upgrade" } });
  await admin.post("/volume/v3/backups", { backup: { volume_id: root.id, name: "root-monday" } });
  await admin.post(`/compute/v2.1/servers/${ids.ID}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } });
  await admin.post("/compute/v2.1/os-server-groups", { server_group: { name: "apart", policy: "anti-affinity" } });
  const { loadbalancer } = await admin.post("/load-balancer/v2/lbaas/loadbalancers", { loadbalancer: { name: "front", vip_subnet_id: fixed.subnet_id, listeners: [{ name: "front-80", protocol: "TCP", protocol_port: 80,
    default_pool: { name: "front-servers", protocol: "TCP", lb_algorithm: "SOURCE_IP_PORT", members: [{ address: fixed.ip_address, protocol_port: 8080, subnet_id: fixed.subnet_id }] } }] } });
  ids.BALANCER = loadbalancer.id;
  const { aggregate } = await admin.post("/compute/v2.1/os-aggregates", { aggregate: { name: "fast" } });
  await admin.post(`/compute/v2.1/os-aggregates/${aggregate.id}/action`, { add_host: { host: "host-1" } });
  await admin.post(`/compute/v2.1/os-aggregates/${aggregate.id}/action`, { set_metadata: { metadata: { ssd: "true" } } });
}

async function available(id: string): Promise<void> {
  for (let round = 0; round < 120; round++) {
    if ((await cloud.admin.get(`/volume/v3/volumes/${id}`)).volume.status === "available") return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error("A volume isn't available.");
}

afterAll(async () => {
  await browser?.close();
  await cloud?.stop();
});

test.each([["light", false], ["dark", true]] as const)("every page in %s colours has nothing that axe calls serious", async (name, dark) => {
  const { page, problems } = await visit(browser, cloud.url, dark);
  await logIn(page, cloud.admin.name, cloud.admin.password);
  const found: Record<string, string[]> = {};
  for (const [title, path, heading] of PAGES) {
    const target = path.replace(/ID|GROUP|VOLUME|BALANCER|NETWORK/, (key) => ids[key] ?? key);
    await page.evaluate((url) => {
      history.pushState({}, "", url);
      dispatchEvent(new PopStateEvent("popstate", { state: {} }));
    }, `/dashboard${target}`);
    await page.getByRole("heading", { name: heading, level: 1, exact: true }).waitFor();
    await page.waitForTimeout(600);
    await page.locator(".pf-v6-c-skeleton, [role=progressbar].pf-v6-c-spinner").first().waitFor({ state: "detached" });
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(pictures, `${title}-${name}.png`) });
    const serious = await findings(page);
    if (serious.length > 0) found[title] = serious;
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, `${title} is wider than the window`).toBeLessThanOrEqual(0);
  }
  expect(found).toEqual({});
  expect(problems).toEqual([]);
  await page.context().close();
}, 900_000);

test.each([["light", false], ["dark", true]] as const)("a project that has nothing yet is told what could be there, in %s colours", async (name, dark) => {
  const { page, problems } = await visit(browser, cloud.url, dark);
  await page.goto("/dashboard/");
  await page.getByLabel("User name").waitFor();
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(pictures, `login-${name}.png`) });
  await logIn(page, "maria", PASSWORD);
  for (const path of ["servers", "volumes", "key-pairs", "server-groups", "topology", "routers", "floating-ips", "load-balancers"]) {
    await page.getByRole("navigation", { name: "Pages" }).locator(`a[href='/dashboard/${path}']`).click();
    await page.getByRole("heading", { level: 2, name: /^(No|Nothing) .*yet$|Nothing to draw yet/ }).waitFor();
    if (process.env.SCREENSHOTS && path === "servers") await page.screenshot({ path: join(pictures, `empty-${name}.png`) });
    expect(await findings(page), path).toEqual([]);
  }
  await page.route("**/image/v2/images*", (route) => route.fulfill({ status: 503, headers: { "x-openstack-request-id": "req-7d9cce1f" }, json: { message: "The image store doesn't answer." } }));
  await page.getByRole("link", { name: "Images" }).click();
  await page.getByText("The image store doesn't answer.").waitFor();
  await page.getByText(/give an administrator the request id/).waitFor();
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(pictures, `error-${name}.png`) });
  expect(await findings(page)).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
});
