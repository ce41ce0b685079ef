import type { Flavor, Image, KeyPair, Network } from "../api/types";

/** What a launch asks for. An empty network means that one is made. */
export interface Wish {
  name: string;
  image: string;
  flavor: string;
  network: string;
  keyPair: string;
  groups: string[];
  /** The id of a server group, or "". */
  together?: string;
  userData: string;
  count: number;
  description: string;
  disk?: Disk;
}

/** Where the server's root disk is: on its host, in a new volume made from the image, or in a volume that there is. */
export type Disk = { kind: "host" } | { kind: "new"; size: number; keep: boolean } | { kind: "volume"; id: string };

function rootDisk(wish: Wish): Record<string, unknown> {
  const { disk } = wish;
  if (disk?.kind === "volume") {
    return { block_device_mapping_v2: [{ boot_index: 0, uuid: disk.id, source_type: "volume", destination_type: "volume", delete_on_termination: false }] };
  }
  if (disk?.kind !== "new") return { imageRef: wish.image };
  return { block_device_mapping_v2: [{ boot_index: 0, uuid: wish.image, source_type: "image", destination_type: "volume", volume_size: disk.size, delete_on_termination: !disk.keep }] };
}

/** The smallest flavor that the image fits in; the cheapest where no image says anything. */
export function defaultFlavor(flavors: Flavor[], image: Image | undefined): Flavor | undefined {
  return flavors.find((flavor) => fits(flavor, image)) ?? flavors[0];
}

export function fits(flavor: Flavor, image: Image | undefined): boolean {
  return !image || (flavor.ram >= image.min_ram && (flavor.disk === 0 || flavor.disk >= image.min_disk));
}

/** The project's own network rather than a shared one; never an external one, where servers don't belong. */
export function defaultNetwork(networks: Network[], projectId: string): Network | undefined {
  const inner = networks.filter((network) => !network["router:external"] && network.subnets.length > 0);
  return inner.find((network) => network.project_id === projectId) ?? inner[0];
}

export function defaultKeyPair(keyPairs: KeyPair[], last: string | null): KeyPair | undefined {
  return keyPairs.find((pair) => pair.name === last) ?? keyPairs[0];
}

/** The body of POST /servers. */
export function body(wish: Wish, networkId: string): Record<string, unknown> & { server: Record<string, unknown> } {
  return {
    server: {
      name: wish.name.trim(),
      ...rootDisk(wish),
      flavorRef: wish.flavor,
      networks: [{ uuid: networkId }],
      ...(wish.keyPair ? { key_name: wish.keyPair } : {}),
      ...(wish.groups.length > 0 ? { security_groups: wish.groups.map((name) => ({ name })) } : {}),
      ...(wish.userData ? { user_data: base64(wish.userData) } : {}),
      ...(wish.count > 1 ? { min_count: wish.count, max_count: wish.count } : {}),
      ...(wish.description ? { description: wish.description } : {}),
    },
    ...(wish.together ? { "os:scheduler_hints": { group: wish.together } } : {}),
  };
}

export function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}
