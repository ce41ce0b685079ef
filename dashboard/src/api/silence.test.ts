import { QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./errors";
import { queries } from "./queries";
import { askAgain, isSilent, isTold } from "./silence";

/** Something that is shown; what it is answered is said by *answer*. */
function shown(answer: () => Promise<number>): () => void {
  return new QueryObserver(queries, { queryKey: ["shown"], queryFn: answer, retry: false }).subscribe(() => undefined);
}
const refused = (status: number) => Promise.reject(new ApiError(status, "no", "GET /", null));
const error = () => queries.getQueryState(["shown"])?.error;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  queries.clear();
  vi.useRealTimers();
});

test("what nothing answers is silent, and no longer once it is answered", async () => {
  let status = 0;
  const stop = shown(() => (status === 200 ? Promise.resolve(1) : refused(status)));
  await vi.advanceTimersByTimeAsync(10);
  expect([isSilent(), isTold(error())]).toEqual([true, true]);
  status = 200;
  askAgain();
  await vi.advanceTimersByTimeAsync(10);
  expect(isSilent()).toBe(false);
  stop();
});

test("what is refused isn't silent, and its page says why", async () => {
  const stop = shown(() => refused(503));
  await vi.advanceTimersByTimeAsync(10);
  expect([isSilent(), isTold(error())]).toEqual([false, false]);
  stop();
});

test("an answer that doesn't come is silence, too, until nobody waits for it", async () => {
  const stop = shown(() => new Promise<number>(() => undefined));
  await vi.advanceTimersByTimeAsync(9000);
  expect(isSilent()).toBe(false);
  await vi.advanceTimersByTimeAsync(2000);
  expect(isSilent()).toBe(true);
  stop();
  expect(isSilent()).toBe(false);
});
