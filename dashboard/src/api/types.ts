/** The parts of the APIs' resources that the dashboard reads. */
export interface Server {
  id: string;
  name: string;
  status: string;
  "OS-EXT-STS:task_state": string | null;
  "OS-EXT-STS:power_state": number;
  "OS-EXT-AZ:availability_zone"?: string;
  "OS-EXT-SRV-ATTR:host"?: string | null;
  flavor: { original_name: string; vcpus: number; ram: number; disk: number };
  image: { id: string } | "" | null;
  addresses: Record<string, Address[]>;
  key_name: string | null;
  created: string;
  updated: string;
  locked: boolean;
  description: string | null;
  metadata: Record<string, string>;
  tags?: string[];
  security_groups?: { name: string }[];
  fault?: { code: number; message: string; created: string; details?: string };
  progress?: number;
}

export interface Address {
  addr: string;
  version: 4 | 6;
  "OS-EXT-IPS:type": "fixed" | "floating";
  "OS-EXT-IPS-MAC:mac_addr": string;
}

export interface ServerAction {
  action: string;
  request_id: string;
  start_time: string;
  updated_at?: string;
  message: string | null;
  user_id: string;
}

export interface Flavor {
  id: string;
  name: string;
  vcpus: number;
  ram: number;
  disk: number;
  description?: string | null;
  "os-flavor-access:is_public"?: boolean;
}

export interface Image {
  id: string;
  name: string | null;
  status: string;
  size: number | null;
  visibility: string;
  owner: string;
  disk_format: string | null;
  min_disk: number;
  min_ram: number;
  protected: boolean;
  created_at: string;
  os_distro?: string;
}

export interface KeyPair { name: string; fingerprint: string; type?: string; public_key: string }

export interface Network {
  id: string;
  name: string;
  status: string;
  subnets: string[];
  shared: boolean;
  "router:external": boolean;
  admin_state_up: boolean;
  mtu?: number;
  project_id: string;
}

export interface Subnet {
  id: string;
  name: string;
  network_id: string;
  cidr: string;
  gateway_ip: string | null;
  ip_version: 4 | 6;
  enable_dhcp: boolean;
  dns_nameservers: string[];
}

export interface Port {
  id: string;
  name: string;
  network_id: string;
  device_id: string;
  device_owner: string;
  status: string;
  mac_address: string;
  fixed_ips: { subnet_id: string; ip_address: string }[];
  security_groups: string[];
  port_security_enabled?: boolean;
  project_id: string;
  created_at?: string;
}

/** What a list of all ports asks for: there may be thousands. */
export type ListedPort = Pick<Port, (typeof LISTED)[number]>;
export const LISTED = ["id", "network_id", "device_id", "device_owner", "status", "fixed_ips", "created_at"] as const;

export interface Router {
  id: string;
  name: string;
  status: string;
  admin_state_up: boolean;
  external_gateway_info: { network_id: string; external_fixed_ips?: { ip_address: string }[] } | null;
  project_id: string;
}

export interface FloatingIp {
  id: string;
  floating_ip_address: string;
  fixed_ip_address: string | null;
  floating_network_id: string;
  port_id: string | null;
  /** Of the port that it leads to; the extension `fip-port-details` tells it. */
  port_details?: { device_id: string } | null;
  router_id: string | null;
  status: string;
  description: string;
}

export interface SecurityRule {
  id: string;
  direction: "ingress" | "egress";
  ethertype: "IPv4" | "IPv6";
  protocol: string | null;
  port_range_min: number | null;
  port_range_max: number | null;
  remote_ip_prefix: string | null;
  remote_group_id: string | null;
}

export interface SecurityGroup { id: string; name: string; description: string; security_group_rules: SecurityRule[] }

export interface VolumeAttachment { server_id: string; attachment_id: string; device: string | null; attached_at?: string }

export interface Volume {
  id: string;
  name: string | null;
  description: string | null;
  status: string;
  size: number;
  bootable: string;
  encrypted: boolean;
  multiattach: boolean;
  volume_type: string | null;
  availability_zone: string;
  snapshot_id: string | null;
  source_volid: string | null;
  created_at: string;
  updated_at: string | null;
  attachments: VolumeAttachment[];
  metadata: Record<string, string>;
  volume_image_metadata?: Record<string, string>;
}

export interface VolumeSnapshot {
  id: string;
  name: string | null;
  description: string | null;
  status: string;
  size: number;
  volume_id: string;
  created_at: string;
  "os-extended-snapshot-attributes:progress"?: string;
}

export interface VolumeBackup {
  id: string;
  name: string | null;
  description: string | null;
  status: string;
  size: number;
  volume_id: string;
  is_incremental: boolean;
  has_dependent_backups: boolean;
  fail_reason: string | null;
  created_at: string;
}

export interface VolumeType { id: string; name: string; description: string | null; is_public?: boolean }

export interface Balancer {
  id: string;
  name: string;
  description: string;
  provisioning_status: string;
  operating_status: string;
  vip_address: string;
  vip_port_id: string;
  vip_subnet_id: string;
  provider: string;
  created_at: string;
}

/** One part of a load balancer's tree of statuses. */
export interface BalancerPart { id: string; name: string; operating_status: string; provisioning_status: string }

export interface BalancerTree extends BalancerPart {
  listeners: (BalancerPart & { pools: (BalancerPart & { health_monitor?: BalancerPart & { type: string }; members: (BalancerPart & { address: string; protocol_port: number })[] })[] })[];
}

export interface ServerGroup { id: string; name: string; policy: string; members: string[]; rules?: Record<string, number> }
