import { expect, test } from "vitest";
import { guessed, isAddress } from "./address";

test("an address tells a name and a format", () => {
  expect(guessed("https://images.example/debian/debian-12-generic.qcow2?mirror=1")).toEqual({ name: "debian-12-generic", format: "qcow2" });
  expect(guessed("https://images.example/cirros.img")).toEqual({ name: "cirros", format: "qcow2" });
  expect(guessed("http://images.example/a%20b.ISO#x")).toEqual({ name: "a b", format: "iso" });
  expect(guessed("https://images.example/latest")).toEqual({ name: "latest", format: "qcow2" });
  expect(guessed("https://images.example")).toEqual({ name: "", format: "qcow2" });
  expect(guessed("")).toEqual({ name: "", format: "qcow2" });
});

test("only http and https are addresses", () => {
  expect(isAddress(" https://images.example/a.qcow2 ")).toBe(true);
  for (const text of ["", "images.example/a", "ftp://images.example/a", "file:///etc/passwd", "javascript:alert(1)"]) expect(isAddress(text), text).toBe(false);
});
