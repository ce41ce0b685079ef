import { Label, Spinner } from "@patternfly/react-core";
import { t } from "../language";

const GOOD = new Set(["ACTIVE", "UP", "ENABLED", "AVAILABLE", "QUEUED_DONE", "MEMBER", "TRUE"]);
const BAD = new Set(["ERROR", "DOWN_BAD", "KILLED", "LOST", "FENCED"]);
const WAITING = new Set(["BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "REBOOT", "HARD_REBOOT", "MIGRATING", "SAVING", "IMPORTING",
  "PASSWORD", "REVERT_RESIZE", "PENDING"]);

/** A status as the API names it, in the colour that says whether somebody should look. */
export function Status({ value, busy = false }: { value: string; busy?: boolean }) {
  const upper = value.toUpperCase();
  const waiting = busy || WAITING.has(upper);
  const status = GOOD.has(upper) ? "success" : BAD.has(upper) ? "danger" : waiting ? "info" : undefined;
  return (
    <Label isCompact status={waiting ? undefined : status} color={waiting ? "blue" : status ? undefined : "grey"}
      icon={waiting ? <Spinner isInline aria-label={t("in progress")} /> : undefined}>
      {value.toLowerCase().replaceAll("_", " ")}
    </Label>
  );
}
