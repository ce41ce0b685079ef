import { Alert, AlertActionCloseButton, AlertGroup, Progress } from "@patternfly/react-core";
import { useSyncExternalStore } from "react";
import { ApiError } from "../api/errors";
import { queries } from "../api/queries";
import { t } from "../language";

/** Work under way and how it ended, shown in the corner until it is closed or has been read. */
export interface Work {
  id: number;
  title: string;
  state: "running" | "done" | "failed";
  /** 0 to 1, or null where nobody knows. */
  progress: number | null;
  detail: string;
}

let works: Work[] = [];
let next = 1;
const listeners = new Set<() => void>();

function change(found: Work[]): void {
  works = found;
  for (const listener of listeners) listener();
}

function update(id: number, part: Partial<Work>): void {
  change(works.map((work) => (work.id === id ? { ...work, ...part } : work)));
}

function dismiss(id: number): void {
  change(works.filter((work) => work.id !== id));
}

/** So many failures are told in full. */
const NAMED = 5;

export type Tell = (detail: string, progress?: number | null) => void;

/** Do *job* and show it. Afterwards the queries named by *stale* are asked again. Gives undefined where it failed. */
export async function perform<T>(title: string, job: (tell: Tell) => Promise<T>, stale: string[] = []): Promise<T | undefined> {
  const id = next++;
  change([...works, { id, title, state: "running", progress: null, detail: "" }]);
  try {
    const result = await job((detail, progress = null) => update(id, { detail, progress }));
    update(id, { state: "done", progress: 1 });
    setTimeout(() => dismiss(id), 6000);
    return result;
  } catch (error) {
    update(id, { state: "failed", detail: describe(error) });
    return undefined;
  } finally {
    refresh(stale);
  }
}

/** The same *job* for many, a few at a time, with one line of progress; what failed is named and the rest goes on. */
export async function performEach<T>(title: string, items: T[], name: (item: T) => string, job: (item: T) => Promise<unknown>,
  stale: string[] = []): Promise<void> {
  await perform(title, async (tell) => {
    const failures: string[] = [];
    const waiting = [...items];
    let done = 0;
    async function worker(): Promise<void> {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        try {
          await job(item);
        } catch (error) {
          failures.push(`${name(item)}: ${describe(error)}`);
        }
        done += 1;
        tell(t("{{done}} of {{all}}", { done, all: items.length }), done / items.length);
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker));
    if (failures.length > 0) throw new Error([...failures.slice(0, NAMED), ...(failures.length > NAMED ? [t("and {{number}} more", { number: failures.length - NAMED })] : [])].join(" · "));
  }, stale);
}

export function refresh(keys: string[]): void {
  for (const key of keys) void queries.invalidateQueries({ queryKey: [key] });
}

function describe(error: unknown): string {
  if (error instanceof ApiError) return `${error.message} ${error.advice}`;
  return error instanceof Error ? error.message : String(error);
}

export function Works() {
  const shown = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, () => works);
  return (
    <AlertGroup isToast isLiveRegion>
      {shown.map((work) => (
        <Alert key={work.id} title={work.title}
          variant={work.state === "failed" ? "danger" : work.state === "done" ? "success" : "info"}
          actionClose={work.state !== "running" && <AlertActionCloseButton title={work.title} onClose={() => dismiss(work.id)} />}>
          {work.state === "running" && work.progress !== null
            ? <Progress value={Math.round(work.progress * 100)} size="sm" aria-label={work.title} title={work.detail} />
            : work.detail}
        </Alert>
      ))}
    </AlertGroup>
  );
}
