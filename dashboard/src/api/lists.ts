import { useQuery } from "@tanstack/react-query";
import { balancer, compute, image, network, type Query, volume } from "./http";
import { asked, every } from "./live";
import { moving } from "./moving";
import { session } from "./session";
import { type Balancer, LISTED, type ListedPort, type Flavor, type FloatingIp, type Image, type KeyPair, type Network, type Port, type Router, type SecurityGroup, type ServerGroup, type Subnet, type Volume, type VolumeBackup, type VolumeSnapshot, type VolumeType } from "./types";

/** What belongs to the project: an administrator's list would show everybody's. */
function own(): Query {
  return { project_id: session().project.id };
}

function list<T>(key: string, ask: () => Promise<T[]>, refetchInterval: number | false = 15_000, part = "list") {
  return function useList(enabled = true) {
    return useQuery({ queryKey: [key, part], queryFn: ask, refetchInterval: refetchInterval && every(refetchInterval), enabled });
  };
}

interface Link { rel: string; href: string }

/** A list of Network: in one answer, unless the cloud gives fewer at once; then the others by its links. */
export async function get<T>(path: string, field: string, query?: Query): Promise<T[]> {
  const found: T[] = [];
  for (let asked: Query | undefined = query ?? {}; asked;) {
    const body: Record<string, unknown> = await network.get(path, asked);
    found.push(...((body[field] ?? []) as T[]));
    const next = ((body[`${field}_links`] ?? []) as Link[]).find((link) => link.rel === "next");
    const marker = next && new URL(next.href, location.href).searchParams.get("marker");
    asked = marker ? { ...query, marker } : undefined;
  }
  return found;
}

const INTERFACES = ["network:router_interface", "network:router_interface_distributed", "network:ha_router_replicated_interface"];

export const useNetworks = list("networks", async () => {
  const [mine, shared, external] = await Promise.all([
    get<Network>("/networks", "networks", own()),
    get<Network>("/networks", "networks", { shared: true }),
    get<Network>("/networks", "networks", { "router:external": true }),
  ]);
  return [...new Map([...mine, ...shared, ...external].map((found) => [found.id, found])).values()];
});
export const useSubnets = list("subnets", () => get<Subnet>("/subnets", "subnets"));
export const useRouters = list("routers", () => get<Router>("/routers", "routers", own()));
/** All ports of the project, with what tells where servers are. */
export const usePorts = list("ports", () => get<ListedPort>("/ports", "ports", { ...own(), fields: [...LISTED] }));
/** Where routers are connected. */
export const useInterfaces = list("ports", () => get<Port>("/ports", "ports", { ...own(), device_owner: INTERFACES }), 15_000, "interfaces");
export const useFloatingIps = list("floating-ips", () => get<FloatingIp>("/floatingips", "floatingips", own()));
export const useSecurityGroups = list("security-groups", () => get<SecurityGroup>("/security-groups", "security_groups", own()));

export const useImages = list("images", async () => {
  const found: Image[] = [];
  let path: string | undefined = "/images?limit=200&sort_key=name&sort_dir=asc";
  while (path) {
    const page: { images: Image[]; next?: string } = await image.get(path);
    found.push(...page.images);
    path = page.next?.replace(/^\/v2/, "");
  }
  return found;
});
export const useFlavors = list("flavors", () =>
  compute.get<{ flavors: Flavor[] }>("/flavors/detail").then((body) => body.flavors.sort((a, b) => a.ram - b.ram || a.vcpus - b.vcpus)), 60_000);
export const useKeyPairs = list("key-pairs", () =>
  compute.get<{ keypairs: { keypair: KeyPair }[] }>("/os-keypairs").then((body) => body.keypairs.map((entry) => entry.keypair)));

/** What changes by itself is asked for again soon; what rests, seldom. */
function settling<T extends { status: string }>(key: string, path: string, field: string) {
  return function useList(enabled = true) {
    return useQuery({
      queryKey: [key, "list"], enabled,
      queryFn: () => pages<T>(path, field),
      refetchInterval: (query) => asked(query.state.data?.some((one) => moving(one.status)) ? 1500 : 10_000),
    });
  };
}

const PAGE = 500;

async function pages<T>(path: string, field: string): Promise<T[]> {
  const found: T[] = [];
  for (let marker: string | undefined = ""; marker !== undefined;) {
    const body: Record<string, T[]> = await volume.get(path, { limit: PAGE, marker });
    const page = body[field] ?? [];
    found.push(...page);
    marker = page.length < PAGE ? undefined : (page.at(-1) as { id: string }).id;
  }
  return found;
}

export const useVolumes = settling<Volume>("volumes", "/volumes/detail", "volumes");
export const useVolumeSnapshots = settling<VolumeSnapshot>("volume-snapshots", "/snapshots/detail", "snapshots");
export const useVolumeBackups = settling<VolumeBackup>("volume-backups", "/backups/detail", "backups");
export const useVolumeTypes = list("volume-types", () => volume.get<{ volume_types: VolumeType[] }>("/types").then((body) => body.volume_types), 60_000);
export const useBalancers = list("balancers", () => balancer.get<{ loadbalancers: Balancer[] }>("/lbaas/loadbalancers", own()).then((body) => body.loadbalancers), 4000);
export const useServerGroups = list("server-groups", () => compute.get<{ server_groups: ServerGroup[] }>("/os-server-groups").then((body) => body.server_groups));
