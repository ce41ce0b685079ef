/** What an address says of what is behind it: a name for the image and its format; the cloud inspects it and has the last word. */
export function guessed(address: string): { name: string; format: string } {
  const file = decodeURIComponent(/([^/?#]+)\/?(?:[?#].*)?$/.exec(address.replace(/^https?:\/\/[^/]*\/?/, ""))?.[1] ?? "");
  const match = /^(.*)\.(qcow2|img|raw|iso|vmdk)$/i.exec(file);
  const end = match?.[2]?.toLowerCase();
  return { name: match?.[1] ?? file, format: end === "raw" || end === "iso" || end === "vmdk" ? end : "qcow2" };
}

export function isAddress(text: string): boolean {
  try {
    return /^https?:$/.test(new URL(text.trim()).protocol);
  } catch {
    return false;
  }
}
