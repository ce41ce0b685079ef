/**
 * Key pairs in OpenSSH's own format, made in the browser: https://github.com/openssh/openssh-portable PROTOCOL.key,
 * RFC 4253 and 8709 for the public part. The private key goes to the person and nowhere else.
 */
export interface Generated { publicKey: string; privateKey: string; type: "ed25519" | "rsa" }

const text = new TextEncoder();

function join(parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function number(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** RFC 4251's string: its length, then its bytes. */
export function field(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? text.encode(value) : value;
  return join([number(bytes.length), bytes]);
}

/** RFC 4251's mpint of an unsigned number. */
export function integer(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start += 1;
  const rest = bytes.slice(start);
  return field((rest[0] ?? 0) & 0x80 ? join([new Uint8Array([0]), rest]) : rest);
}

export function fromBase64Url(value: string): Uint8Array {
  const plain = atob(value.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

function base64(bytes: Uint8Array): string {
  let plain = "";
  for (const byte of bytes) plain += String.fromCharCode(byte);
  return btoa(plain);
}

/** The file that `ssh -i` reads; *secret* are the fields of the private part after the key's type. */
function armored(type: string, publicBlob: Uint8Array, secret: Uint8Array[], comment: string): string {
  const check = crypto.getRandomValues(new Uint8Array(4));
  let inner = join([check, check, field(type), ...secret, field(comment)]);
  const padding = (8 - (inner.length % 8)) % 8;
  inner = join([inner, Uint8Array.from({ length: padding }, (_, index) => index + 1)]);
  const whole = join([text.encode("openssh-key-v1\0"), field("none"), field("none"), field(""), number(1), field(publicBlob), field(inner)]);
  const lines = base64(whole).match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join("\n")}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

async function ed25519(comment: string): Promise<Generated> {
  const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as CryptoKeyPair;
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  const [open, seed] = [fromBase64Url(jwk.x ?? ""), fromBase64Url(jwk.d ?? "")];
  const blob = join([field("ssh-ed25519"), field(open)]);
  return {
    type: "ed25519",
    publicKey: `ssh-ed25519 ${base64(blob)} ${comment}`,
    privateKey: armored("ssh-ed25519", blob, [field(open), field(join([seed, open]))], comment),
  };
}

async function rsa(comment: string): Promise<Generated> {
  const pair = await crypto.subtle.generateKey(
    { name: "RSASSA-PKCS1-v1_5", modulusLength: 4096, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, true, ["sign", "verify"]);
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  const part = (value: string | undefined) => integer(fromBase64Url(value ?? ""));
  const blob = join([field("ssh-rsa"), part(jwk.e), part(jwk.n)]);
  return {
    type: "rsa",
    publicKey: `ssh-rsa ${base64(blob)} ${comment}`,
    privateKey: armored("ssh-rsa", blob, [part(jwk.n), part(jwk.e), part(jwk.d), part(jwk.qi), part(jwk.p), part(jwk.q)], comment),
  };
}

/** Ed25519, or RSA with 4096 bits in browsers that don't have it yet. */
export async function generate(comment: string): Promise<Generated> {
  try {
    return await ed25519(comment);
  } catch {
    return rsa(comment);
  }
}

export { rsa as generateRsa };

/** Whether *key* looks like a public key that OpenSSH takes. */
export function isPublicKey(key: string): boolean {
  return /^(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|sk-[\w@.-]+) [A-Za-z0-9+/]+={0,3}( .*)?$/.test(key.trim());
}
