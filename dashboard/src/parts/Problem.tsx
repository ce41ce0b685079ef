import { Alert, AlertActionLink, Button } from "@patternfly/react-core";
import { advice, ApiError } from "../api/errors";
import { askAgain, isTold } from "../api/silence";
import { t } from "../language";

/** On top of a page of which something isn't answered at all; it says so once. */
export function Silence() {
  return (
    <Alert isInline variant="warning" title={t("The cloud doesn't answer")} className="st-above" actionLinks={<AlertActionLink component={Button} onClick={askAgain}>{t("Try again now")}</AlertActionLink>}>
      <p>{t("What is shown may be out of date, and something may be missing. It is asked for again by itself; check that the cloud runs and that this browser reaches it.")}</p>
    </Alert>
  );
}

/** What went wrong, in the API's words, and what to do next; nothing where the page says it already. */
export function Problem({ error, retry, title }: { error: unknown; retry?: () => void; title?: string }) {
  if (isTold(error)) return null;
  const api = error instanceof ApiError ? error : null;
  /** What a form says of itself needs no advice; a fault of this program does. */
  const said = error instanceof Error && error.constructor === Error;
  return (
    <Alert isInline variant="danger" title={title ?? t("That didn't work")}
      actionLinks={retry && <AlertActionLink component={Button} onClick={retry}>{t("Try again")}</AlertActionLink>}>
      <p><strong>{error instanceof Error ? error.message : String(error)}</strong></p>
      {(api || !said) && <p>{api ? api.advice : advice(500)}</p>}
      {api && (
        <p className="st-muted st-mono">
          {api.request}{api.status ? ` · ${api.status}` : ""}{api.requestId ? ` · ${api.requestId}` : ""}
        </p>
      )}
    </Alert>
  );
}
