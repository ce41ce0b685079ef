import { expect, test } from "vitest";
import { moving } from "../api/moving";
import { sizeError, smallest, volumeBody } from "./sizes";

test("a volume is as large as what it starts with", () => {
  expect(smallest(undefined, undefined)).toBe(1);
  expect(smallest({ size: 1, min_disk: 0 }, undefined)).toBe(1);
  expect(smallest({ size: 3 * 1024 ** 3 + 1, min_disk: 2 }, undefined)).toBe(4);
  expect(smallest({ size: 1, min_disk: 7 }, undefined)).toBe(7);
  expect(smallest(undefined, 5)).toBe(5);
  expect(sizeError("4", 5)).toContain("5");
  expect(sizeError("1.5", 1)).not.toBeNull();
  expect(sizeError("", 1)).not.toBeNull();
  expect(sizeError("5", 5)).toBeNull();
});

test("the request names only what it starts with", () => {
  const wish = { name: " data ", size: 3, from: "", type: "", description: "" };
  expect(volumeBody(wish)).toEqual({ volume: { name: "data", size: 3 } });
  expect(volumeBody({ ...wish, from: "snapshot:s" })).toEqual({ volume: { name: "data", size: 3, snapshot_id: "s" } });
  expect(volumeBody({ ...wish, from: "image:i", type: "fast" })).toEqual({ volume: { name: "data", size: 3, imageRef: "i", volume_type: "fast" } });
});

test("what moves by itself is followed", () => {
  expect(["creating", "backing-up", "restoring-backup", "deleting", "downloading"].every(moving)).toBe(true);
  expect(["available", "in-use", "error", "error_deleting", "error_restoring"].some(moving)).toBe(false);
});
