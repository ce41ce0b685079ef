import { expect, test } from "vitest";
import { type CatalogEntry, endpointOf, has, reachable } from "./catalog";
import { messageOf } from "./errors";

const entry = (type: string, url: string, region = "one"): CatalogEntry => ({ type, name: type, endpoints: [{ interface: "public", region_id: region, url }, { interface: "internal", region_id: region, url: "http://inside" }] });

test("every service's sentence is found in its own shape", () => {
  const json = (body: unknown) => messageOf(JSON.stringify(body), "application/json", 400);
  expect(json({ badRequest: { code: 400, message: "Bad flavor" } })).toBe("Bad flavor");
  expect(json({ NeutronError: { type: "OverQuota", message: "Quota exceeded", detail: "" } })).toBe("Quota exceeded");
  expect(json({ error: { code: 401, title: "Unauthorized", message: "Who are you" } })).toBe("Who are you");
  expect(messageOf("<html><head><title>403</title></head><body><h1>403 Forbidden</h1> no<br/></body></html>", "text/html", 403)).toBe("403 Forbidden no");
  expect(messageOf("", "", 502)).toContain("502");
});

test("endpoints get the version that the catalog left out", () => {
  const catalog = [entry("identity", "http://c/identity"), entry("network", "http://c:9696/"), entry("image", "http://c/image/v2"), entry("volumev3", "http://c/volume/v3")];
  expect(endpointOf(catalog, "identity", "one")).toBe("http://c/identity/v3");
  expect(endpointOf(catalog, "network", "one")).toBe("http://c:9696/v2.0");
  expect(endpointOf(catalog, "image", "nowhere")).toBe("http://c/image/v2");
  expect(has(catalog, "volume")).toBe(true);
  expect(has(catalog, "compute")).toBe(false);
  expect(() => endpointOf(catalog, "compute", null)).toThrow();
});

test("through a tunnel the whole cloud is asked at the tunnel's end", () => {
  const catalog = [entry("identity", "http://10.0.0.1:8700/identity"), entry("compute", "http://10.0.0.1:8700/compute/v2.1"), entry("object-store", "https://far/v1")];
  const found = reachable(catalog, "http://localhost:9000/identity/v3");
  expect(endpointOf(found, "compute", "one")).toBe("http://localhost:9000/compute/v2.1");
  expect(endpointOf(found, "object", "one")).toBe("https://far/v1");
});
