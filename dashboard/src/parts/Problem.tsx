import { Alert, AlertActionLink, Button } from "@patternfly/react-core";
import { advice, ApiError } from "../api/errors";
import { t } from "../language";

/** What went wrong, in the API's words, and what to do next. */
export function Problem({ error, retry, title }: { error: unknown; retry?: () => void; title?: string }) {
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
