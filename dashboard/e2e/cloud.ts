import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);
export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const stackling = join(root, ".venv/bin/stackling");

export const PASSWORD = "a long password of the tests";

/** A port of the loopback that nobody listens on: below those that clients get. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer().once("error", () => resolve(false)).listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** A cloud of its own, simulated unless `real`, with a project `demo`, its member `maria` and its reader `rosa`. */
export class Cloud {
  private constructor(readonly url: string, readonly directory: string, readonly admin: Account) {}

  static async start({ hosts = 3, real = false } = {}): Promise<Cloud> {
    const directory = mkdtempSync(join(real ? "/var/tmp" : tmpdir(), "dashboard-"));
    if (real) chmodSync(directory, 0o755);
    const port = String(await freePort());
    await run(stackling, ["up", ...(real ? ["--isolated"] : ["--simulated", "--hosts", String(hosts)]), "--port", port, "--state-dir", directory], { cwd: root }).catch(async (error: unknown) => {
      await run(stackling, ["down", "--state-dir", directory], { cwd: root }).catch(() => undefined);
      rmSync(directory, { recursive: true, force: true });
      throw error;
    });
    const clouds = readFileSync(join(directory, "clouds.yaml"), "utf8");
    const field = (name: string) => new RegExp(`${name}: "?([^"\\n]+)"?`).exec(clouds)?.[1] ?? "";
    const url = new URL(field("auth_url")).origin;
    const admin = await Account.logIn(url, field("username"), field("password"), "admin");
    const cloud = new Cloud(url, directory, admin);
    await cloud.furnish();
    await cloud.hostsUp();
    return cloud;
  }

  private furnish(): Promise<void> {
    return this.people("demo", [["maria", "member"], ["rosa", "reader"]]);
  }

  /** Another project, `elsewhere`, with its member `nora`. */
  stranger(): Promise<void> {
    return this.people("elsewhere", [["nora", "member"]]);
  }

  private async people(projectName: string, wanted: [string, string][]): Promise<void> {
    const { project } = await this.admin.post("/identity/v3/projects", { project: { name: projectName } });
    const { roles } = await this.admin.get("/identity/v3/roles");
    for (const [name, role] of wanted) {
      const { user } = await this.admin.post("/identity/v3/users", { user: { name, password: PASSWORD } });
      const { id } = roles.find((found: { name: string }) => found.name === role);
      await this.admin.ask("PUT", `/identity/v3/projects/${project.id}/users/${user.id}/roles/${id}`);
    }
  }

  /** Wait for the agents' first reports; before them no host takes a server. */
  private async hostsUp(): Promise<void> {
    for (let round = 0; round < 300; round++) {
      const { services } = await this.admin.get("/compute/v2.1/os-services");
      if (services.length > 0 && services.every((service: { state: string }) => service.state === "up")) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error("The cloud's hosts aren't up.");
  }

  member(): Promise<Account> {
    return Account.logIn(this.url, "maria", PASSWORD, "demo");
  }

  async stop(): Promise<void> {
    await run(stackling, ["down", "--purge", "--state-dir", this.directory], { cwd: root });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Somebody who uses the APIs without a browser. */
export class Account {
  private constructor(private readonly url: string, readonly token: string, readonly projectId: string, readonly name: string, readonly password: string) {}

  static async logIn(url: string, name: string, password: string, project: string): Promise<Account> {
    const domain = { name: "Default" };
    const response = await fetch(`${url}/identity/v3/auth/tokens`, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ auth: { identity: { methods: ["password"], password: { user: { name, domain, password } } }, scope: { project: { name: project, domain } } } }) });
    if (!response.ok) throw new Error(await response.text());
    const { token } = (await response.json()) as { token: { project: { id: string } } };
    return new Account(url, response.headers.get("x-subject-token") ?? "", token.project.id, name, password);
  }

  async ask(method: string, path: string, body?: unknown): Promise<any> {
    const response = await fetch(this.url + path, {
      method, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { "X-Auth-Token": this.token, "X-OpenStack-Nova-API-Version": "2.90", ...(body === undefined ? {} : { "Content-Type": "application/json" }) } });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  get(path: string) {
    return this.ask("GET", path);
  }

  post(path: string, body: unknown) {
    return this.ask("POST", path, body);
  }

  /** A network with a subnet and a router to the outside; gives the network's id. */
  async network(name: string, cidr = "10.20.0.0/20"): Promise<string> {
    const { network } = await this.post("/network/v2.0/networks", { network: { name } });
    const { subnet } = await this.post("/network/v2.0/subnets", { subnet: { network_id: network.id, name: `${name}-subnet`, ip_version: 4, cidr } });
    const { networks } = await this.get("/network/v2.0/networks?router:external=true");
    const { router } = await this.post("/network/v2.0/routers", { router: { name: "gateway", external_gateway_info: { network_id: networks[0].id } } });
    await this.ask("PUT", `/network/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
    return network.id;
  }

  async servers(name: string, count: number, networks: unknown): Promise<void> {
    const [{ images }, { flavors }] = await Promise.all([this.get("/image/v2/images"), this.get("/compute/v2.1/flavors")]);
    await this.post("/compute/v2.1/servers", { server: { name, imageRef: images[0].id, flavorRef: flavors[0].id, networks, min_count: count, max_count: count } });
  }
}
