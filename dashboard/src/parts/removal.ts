import { t } from "../language";
import { confirmLoss } from "./dialog";
import { performEach } from "./work";

/** Delete many after asking, a few at a time, with one line of progress; *body* says what is lost. */
export function deleteEach<T>(found: T[], name: (one: T) => string, body: string, job: (one: T) => Promise<unknown>, stale: string[]): void {
  const what = found.length === 1 && found[0] ? name(found[0]) : t("{{number}} chosen", { number: found.length });
  confirmLoss({
    title: t("Delete {{name}}?", { name: what }), button: t("Delete"), body,
    run: async () => void performEach(t("Delete {{name}}", { name: what }), found, name, job, stale),
  });
}
