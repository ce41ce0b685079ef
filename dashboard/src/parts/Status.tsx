import { Label, Spinner } from "@patternfly/react-core";
import { t } from "../language";

const GOOD = new Set(["ACTIVE", "UP", "ENABLED", "AVAILABLE", "IN-USE", "QUEUED_DONE", "MEMBER", "TRUE", "ONLINE"]);
const BAD = new Set(["ERROR", "KILLED", "LOST", "FENCED", "OFFLINE"]);
/** What ends by itself: CREATING, BACKING-UP, PENDING_UPDATE, …, and those that don't sound like it. */
const WAITING = /^(BUILD|REBUILD|RESIZE|VERIFY_RESIZE|REBOOT|HARD_REBOOT|PASSWORD|REVERT_RESIZE|RESERVED|PENDING.*|(?!RUNNING|ERROR).*ING(-.*)?)$/;

/** A status as the API names it, in the colour that says whether somebody should look; *bad* where it depends on what has it. */
export function Status({ value, busy = false, bad = false }: { value: string; busy?: boolean; bad?: boolean }) {
  const upper = value.toUpperCase();
  const waiting = busy || WAITING.test(upper);
  const status = GOOD.has(upper) ? "success" : bad || BAD.has(upper) || upper.startsWith("ERROR_") ? "danger" : waiting ? "info" : undefined;
  return (
    <Label isCompact status={waiting ? undefined : status} color={waiting ? "blue" : status ? undefined : "grey"}
      icon={waiting ? <Spinner isInline aria-label={t("in progress")} /> : undefined}>
      {value.toLowerCase().replaceAll("_", " ")}
    </Label>
  );
}
