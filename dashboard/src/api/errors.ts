import { t } from "../language";

/** What an API answered instead of doing what was asked. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly request: string,
    readonly requestId: string | null,
  ) {
    super(message);
  }

  /** What somebody can do next. */
  get advice(): string {
    return advice(this.status);
  }
}

/** The API's sentence, from any of the shapes in which OpenStack's services say it. */
export function messageOf(body: string, contentType: string, status: number): string {
  if (contentType.includes("json")) {
    try {
      const found = sentence(JSON.parse(body));
      if (found) return found;
    } catch {
      // not JSON after all: the text itself is what there is
    }
  }
  const text = body.replace(/<(head|title|style)[\s\S]*?<\/\1>/gi, " ").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
  return text.slice(0, 500) || t("The service answered with status {{status}} and no explanation.", { status });
}

function sentence(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return null;
  const record = value as Record<string, unknown>;
  for (const key of ["message", "faultstring", "detail"]) {
    const text = record[key];
    if (typeof text === "string" && text) return text;
  }
  if (Array.isArray(record.errors) && record.errors[0]) return sentence(record.errors[0]);
  for (const inner of Object.values(record)) {
    if (typeof inner === "string" && Object.keys(record).length === 1) return inner;
    const found = sentence(inner);
    if (found) return found;
  }
  return null;
}

export function advice(status: number): string {
  if (status === 0) return t("Check that the cloud runs and that this browser reaches it; it is asked again by itself.");
  if (status === 401) return t("Log in again.");
  if (status === 403) return t("Your role in this project doesn't allow it. Ask an administrator for the role, or raise the quota.");
  if (status === 404) return t("It may have been deleted by somebody else. Go back to the list.");
  if (status === 409) return t("Something else has to change first; the message names it. Then try again.");
  if (status === 413 || status === 429) return t("Ask an administrator for more quota, or delete what isn't needed.");
  if (status >= 500) return t("Try again in a moment. If it stays, give an administrator the request id.");
  return t("Correct what the message names and try again.");
}
