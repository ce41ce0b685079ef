/** The first 10.x.y.0/24 that overlaps none of *taken*. */
export function freeRange(taken: string[]): string {
  const ranges = taken.map(bounds).filter((range) => range !== null);
  for (let index = 0; index < 65536; index++) {
    const first = (10 << 24) + (index << 8);
    if (ranges.every(([low, high]) => first + 255 < low || first > high)) return `10.${index >> 8}.${index & 255}.0/24`;
  }
  return "10.0.0.0/24";
}

function bounds(cidr: string): [number, number] | null {
  const [address = "", length = ""] = cidr.split("/");
  const parts = address.split(".").map(Number);
  if (parts.length !== 4) return null;
  const first = parts.reduce((sum, part) => sum * 256 + part, 0);
  const size = 2 ** (32 - Number(length));
  const low = Math.floor(first / size) * size;
  return [low, low + size - 1];
}

/** Whether *text* is an IPv4 or IPv6 range; the API says the rest. */
export function isCidr(text: string): boolean {
  const match = /^([\d.]+|[\da-f:]+)\/(\d{1,3})$/i.exec(text.trim());
  if (!match) return false;
  const [, address = "", length = ""] = match;
  if (address.includes(":")) return Number(length) <= 128;
  const parts = address.split(".");
  return parts.length === 4 && parts.every((part) => part !== "" && Number(part) <= 255) && Number(length) <= 32;
}

/** The IP addresses of a list that somebody typed; null where something else is among them. */
export function addressesIn(text: string): string[] | null {
  const found = text.split(/[\s,;]+/).filter(Boolean);
  return found.every((one) => isCidr(`${one}/${one.includes(":") ? 128 : 32}`)) ? found : null;
}
