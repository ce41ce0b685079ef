import { t } from "../language";
import { ApiError, messageOf } from "./errors";
import { expired, session } from "./session";
import { endpointOf, type ServiceName } from "./catalog";

export type Query = Record<string, string | number | boolean | undefined | string[]>;

interface Request {
  query?: Query;
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Newer than any supported OpenStack's minimum, older than any supported one's maximum (Xena and later). */
export const COMPUTE_VERSION = "2.90";

function withQuery(url: string, query?: Query): string {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) found.append(key, String(one));
  }
  const text = found.toString();
  return text ? `${url}?${text}` : url;
}

/** One request; raises `ApiError`, with status 0 where nothing answered. */
export async function send(method: string, url: string, { query, json, headers, signal }: Request = {}): Promise<Response> {
  const address = withQuery(url, query);
  let response: Response;
  try {
    response = await fetch(address, {
      method,
      headers: { Accept: "application/json", ...(json === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: json === undefined ? undefined : JSON.stringify(json),
      signal,
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, t("The cloud doesn't answer."), `${method} ${new URL(address, location.href).pathname}`, null);
  }
  if (response.ok) return response;
  throw new ApiError(
    response.status,
    messageOf(await response.text(), response.headers.get("content-type") ?? "", response.status),
    `${method} ${new URL(address, location.href).pathname}`,
    response.headers.get("x-openstack-request-id") ?? response.headers.get("x-compute-request-id"),
  );
}

/** One service of the catalog, in the session's project. */
function client(service: ServiceName, fixed: Record<string, string> = {}) {
  async function ask<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const { token, catalog, region } = session();
    const headers = { "X-Auth-Token": token, ...fixed, ...request.headers };
    try {
      const response = await send(method, endpointOf(catalog, service, region) + path, { ...request, headers });
      const text = await response.text();
      return (text && (response.headers.get("content-type") ?? "").includes("json") ? JSON.parse(text) : undefined) as T;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) expired(token);
      throw error;
    }
  }
  return {
    get: <T>(path: string, query?: Query, more: Request = {}) => ask<T>("GET", path, { query, ...more }),
    post: <T>(path: string, json?: unknown, more: Request = {}) => ask<T>("POST", path, { json, ...more }),
    put: <T>(path: string, json?: unknown, more: Request = {}) => ask<T>("PUT", path, { json, ...more }),
    patch: <T>(path: string, json?: unknown, more: Request = {}) => ask<T>("PATCH", path, { json, ...more }),
    delete: <T>(path: string, query?: Query) => ask<T>("DELETE", path, { query }),
  };
}

export const compute = client("compute", { "X-OpenStack-Nova-API-Version": COMPUTE_VERSION, "OpenStack-API-Version": `compute ${COMPUTE_VERSION}` });
export const network = client("network");
/** In 3.59 a volume in use can be extended, and every cloud since Train has it. */
export const volume = client("volume", { "OpenStack-API-Version": "volume 3.59" });
export const balancer = client("balancer");
export const image = client("image");
export const identity = client("identity");
export const stackling = client("stackling");
