import { expect, test } from "vitest";
import { pageOf, socketOf } from "./address";

const CLOUD = "http://10.0.0.1:8700";

test("the socket behind a console's address", () => {
  expect(socketOf(`${CLOUD}/console/vnc.html?path=console%2Fws%3Ftoken%3Dt`, CLOUD, CLOUD)).toBe("ws://10.0.0.1:8700/console/ws?token=t");
  expect(socketOf("ws://10.0.0.1:8700/console/ws?token=t", CLOUD, CLOUD)).toBe("ws://10.0.0.1:8700/console/ws?token=t");
});

test("other clouds' proxies live elsewhere", () => {
  expect(socketOf("https://vnc.example:6080/vnc_auto.html?path=%3Ftoken%3Dt", "https://api.example", "https://api.example")).toBe("wss://vnc.example:6080/?token=t");
  expect(socketOf("http://vnc.example:6080/vnc_auto.html?token=t", CLOUD, CLOUD)).toBe("ws://vnc.example:6080/?token=t");
});

test("through a tunnel the tunnel's end is asked", () => {
  const page = `${CLOUD}/console/vnc.html?path=console%2Fws%3Ftoken%3Dt`;
  expect(socketOf(page, CLOUD, "https://localhost:9000")).toBe("wss://localhost:9000/console/ws?token=t");
  expect(socketOf("ws://10.0.0.1:8700/console/ws?token=t", CLOUD, "http://localhost:9000")).toBe("ws://localhost:9000/console/ws?token=t");
  expect(pageOf(page, CLOUD, "https://localhost:9000")).toBe("https://localhost:9000/console/vnc.html?path=console%2Fws%3Ftoken%3Dt");
});
