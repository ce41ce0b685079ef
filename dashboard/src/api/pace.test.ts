import { QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { renew, rest } from "./pace";
import { queries } from "./queries";

/** A list that takes *milliseconds*, shown; counts how often it was asked for and how often it came. */
function list(name: string, milliseconds: number) {
  const told = { asked: 0, came: 0 };
  const observer = new QueryObserver(queries, {
    queryKey: [name], queryFn: async () => {
      told.asked++;
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      return ++told.came;
    } });
  return { told, stop: observer.subscribe(() => undefined) };
}
const changes = (name: string) => renew((query) => query.queryKey[0] === name);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  queries.clear();
  vi.useRealTimers();
});

test("a list that comes at once is asked for again at once", async () => {
  const { told, stop } = list("short", 50);
  await vi.advanceTimersByTimeAsync(100);
  changes("short");
  await vi.advanceTimersByTimeAsync(60);
  expect(told).toEqual({ asked: 2, came: 2 });
  stop();
});

test("changes don't break off what is under way, and what has changed meanwhile is asked for afterwards", async () => {
  const { told, stop } = list("answer", 400);
  await vi.advanceTimersByTimeAsync(500);
  changes("answer");
  await vi.advanceTimersByTimeAsync(200);
  changes("answer");
  expect(told).toEqual({ asked: 2, came: 1 });
  await vi.advanceTimersByTimeAsync(1000);
  expect(told).toEqual({ asked: 3, came: 3 });
  stop();
});

test("where something changes every second, a list that takes long comes again and again, and rests between", async () => {
  const { told, stop } = list("long", 2000);
  for (let second = 0; second < 60; second++) {
    await vi.advanceTimersByTimeAsync(1000);
    changes("long");
  }
  expect(told.came).toBeGreaterThanOrEqual(6);
  expect(told.asked).toBeLessThanOrEqual(9);
  expect([rest(100), rest(2000)]).toEqual([0, 6000]);
  stop();
});

test("what isn't shown isn't asked for before it is", async () => {
  const { told, stop } = list("left", 50);
  await vi.advanceTimersByTimeAsync(100);
  stop();
  changes("left");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(told.asked).toBe(1);
  const again = list("left", 50);
  await vi.advanceTimersByTimeAsync(100);
  expect(again.told.asked).toBe(1);
  again.stop();
});
