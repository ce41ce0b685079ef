import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { generate, generateRsa, integer, isPublicKey } from "./openssh";

/** What OpenSSH itself makes of a private key: its public half. */
function publicOf(privateKey: string): string {
  const directory = mkdtempSync(join(tmpdir(), "key-"));
  try {
    const file = join(directory, "key");
    writeFileSync(file, privateKey, { mode: 0o600 });
    return execFileSync("ssh-keygen", ["-y", "-f", file], { encoding: "utf8" }).trim();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test.each([["ed25519", generate], ["rsa", generateRsa]] as const)("OpenSSH reads a generated %s key", async (type, make) => {
  const made = await make("mine");
  expect(made.type).toBe(type);
  expect(isPublicKey(made.publicKey)).toBe(true);
  expect(publicOf(made.privateKey)).toBe(made.publicKey);
}, 120_000);

test("numbers have no leading zeros, and one where they would look negative", () => {
  expect([...integer(new Uint8Array([0, 0, 0x7f]))]).toEqual([0, 0, 0, 1, 0x7f]);
  expect([...integer(new Uint8Array([0x80]))]).toEqual([0, 0, 0, 2, 0, 0x80]);
});

test("a private key isn't a public one", () => {
  expect(isPublicKey("-----BEGIN OPENSSH PRIVATE KEY-----")).toBe(false);
  expect(isPublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@home")).toBe(true);
});
