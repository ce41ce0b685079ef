/** The services that the dashboard knows, and the names that catalogs give them. */
const TYPES = {
  identity: ["identity"],
  compute: ["compute"],
  network: ["network"],
  image: ["image"],
  volume: ["block-storage", "volumev3", "block-store"],
  balancer: ["load-balancer"],
  object: ["object-store"],
  stackling: ["stackling"],
} as const;

export type ServiceName = keyof typeof TYPES;

export interface CatalogEntry {
  type: string;
  name: string;
  endpoints: { interface: string; region_id?: string | null; region?: string | null; url: string }[];
}

const VERSION: Partial<Record<ServiceName, [RegExp, string]>> = {
  identity: [/\/v3$/, "/v3"],
  network: [/\/v2\.0$/, "/v2.0"],
  image: [/\/v2(\.\d+)?$/, "/v2"],
  balancer: [/\/v2(\.\d+)?$/, "/v2"],
};

export function has(catalog: CatalogEntry[], service: ServiceName): boolean {
  return catalog.some((entry) => (TYPES[service] as readonly string[]).includes(entry.type));
}

/** The public address of a service, with its version. */
export function endpointOf(catalog: CatalogEntry[], service: ServiceName, region: string | null): string {
  for (const type of TYPES[service]) {
    const offered = (catalog.find((entry) => entry.type === type)?.endpoints ?? []).filter((e) => e.interface === "public");
    const found = offered.find((e) => (e.region_id ?? e.region) === region) ?? offered[0];
    if (found) {
      const url = found.url.replace(/\/+$/, "");
      const version = VERSION[service];
      return version && !version[0].test(url) ? url + version[1] : url;
    }
  }
  throw new Error(`The catalog has no service ${service}.`);
}

/** The address at which the cloud says its Identity is. */
export function ownOrigin(catalog: CatalogEntry[]): string | null {
  const own = catalog.find((entry) => entry.type === "identity")?.endpoints.find((e) => e.interface === "public");
  return own ? new URL(own.url).origin : null;
}

/**
 * The catalog as this browser reaches it: where Identity answered at another address than the catalog's own (a tunnel,
 * another name of the same machine), everything that lives at the catalog's address is asked there too.
 */
export function reachable(catalog: CatalogEntry[], identityUrl: string): CatalogEntry[] {
  const from = ownOrigin(catalog);
  if (!from) return catalog;
  const to = new URL(identityUrl).origin;
  if (from === to) return catalog;
  return catalog.map((entry) => ({
    ...entry,
    endpoints: entry.endpoints.map((e) => (e.url.startsWith(from) ? { ...e, url: to + e.url.slice(from.length) } : e)),
  }));
}

export function regions(catalog: CatalogEntry[]): string[] {
  const found = new Set<string>();
  for (const entry of catalog) for (const e of entry.endpoints) if (e.region_id) found.add(e.region_id);
  return [...found].sort();
}
