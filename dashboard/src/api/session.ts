import { useSyncExternalStore } from "react";
import { type CatalogEntry, ownOrigin, reachable, regions } from "./catalog";
import { send } from "./http";

/**
 * Who is logged in. The token lives in this variable and nowhere else: no cookie, no storage, so that a closed or
 * reloaded tab has forgotten it.
 */
export interface Session {
  token: string;
  expiresAt: string;
  user: { id: string; name: string };
  /** The name of the user's domain. */
  domain: string;
  project: { id: string; name: string };
  projects: { id: string; name: string }[];
  roles: string[];
  catalog: CatalogEntry[];
  /** Where the cloud says it is; this browser may reach it at another address. */
  origin: string;
  region: string | null;
}

interface State {
  session: Session | null;
  /** Whether the session ended by itself, so that the page stays and asks for the password over it. */
  ended: boolean;
}

interface TokenBody {
  token: {
    expires_at: string;
    user: { id: string; name: string; domain?: { name: string } };
    project?: { id: string; name: string };
    roles?: { name: string }[];
    catalog?: CatalogEntry[];
  };
}

let state: State = { session: null, ended: false };
const listeners = new Set<() => void>();

function become(next: State): void {
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSessionState(): State {
  return useSyncExternalStore(subscribe, () => state);
}

/** The session of a component that only shows to who is logged in. */
export function useSession(): Session {
  const found = useSyncExternalStore(subscribe, () => state.session);
  if (!found) throw new Error("Nobody is logged in.");
  return found;
}

export function session(): Session {
  if (!state.session) throw new Error("Nobody is logged in.");
  return state.session;
}

/** Whether the session may change anything; a reader's token has no role but that. */
export function mayWrite(found: Session): boolean {
  return found.roles.some((role) => role !== "reader");
}

export function isAdmin(found: Session): boolean {
  return found.roles.includes("admin");
}

export const IDENTITY = `${location.origin}/identity/v3`;
const LAST_PROJECT = "stackling.project";

export class NoProject extends Error {}

async function token(methods: object, scope: unknown): Promise<[string, TokenBody["token"]]> {
  const response = await send("POST", `${IDENTITY}/auth/tokens`, { json: { auth: { identity: methods, scope } } });
  const body = (await response.json()) as TokenBody;
  return [response.headers.get("x-subject-token") ?? "", body.token];
}

export async function logIn(user: string, password: string, domain: string): Promise<void> {
  const [unscoped] = await token(
    { methods: ["password"], password: { user: { name: user, domain: { name: domain }, password } } }, "unscoped");
  const answer = await send("GET", `${IDENTITY}/auth/projects`, { headers: { "X-Auth-Token": unscoped } });
  const projects = ((await answer.json()) as { projects: { id: string; name: string; enabled: boolean }[] }).projects
    .filter((project) => project.enabled)
    .map(({ id, name }) => ({ id, name }))
    .sort((a, b) => a.name.localeCompare(b.name));
  const wanted = state.session?.project.id ?? localStorage.getItem(LAST_PROJECT);
  const chosen = projects.find((project) => project.id === wanted) ?? projects[0];
  if (!chosen) throw new NoProject();
  await scope(unscoped, chosen.id, projects);
}

export async function switchProject(id: string): Promise<void> {
  const { token: current, projects } = session();
  await scope(current, id, projects);
}

async function scope(from: string, project: string, projects: Session["projects"]): Promise<void> {
  const [scoped, body] = await token({ methods: ["token"], token: { id: from } }, { project: { id: project } });
  const catalog = reachable(body.catalog ?? [], IDENTITY);
  localStorage.setItem(LAST_PROJECT, project);
  become({
    ended: false,
    session: {
      token: scoped,
      expiresAt: body.expires_at,
      user: { id: body.user.id, name: body.user.name },
      domain: body.user.domain?.name ?? "Default",
      project: { id: project, name: body.project?.name ?? project },
      projects,
      roles: (body.roles ?? []).map((role) => role.name),
      catalog,
      origin: ownOrigin(body.catalog ?? []) ?? location.origin,
      region: state.session?.region ?? regions(catalog)[0] ?? null,
    },
  });
}

/** Every token of the user ends with the old password, this session's too; so it logs in again with the new one. */
export async function changePassword(original_password: string, password: string): Promise<void> {
  const { token: current, user, domain } = session();
  await send("POST", `${IDENTITY}/users/${user.id}/password`, { headers: { "X-Auth-Token": current }, json: { user: { original_password, password } } });
  await logIn(user.name, password, domain);
}

/** The token that a request was sent with isn't taken any more. */
export function expired(tokenOfRequest: string): void {
  if (state.session?.token === tokenOfRequest) become({ ...state, ended: true });
}

export function logOut(): void {
  const current = state.session?.token;
  become({ session: null, ended: false });
  if (current) {
    void send("DELETE", `${IDENTITY}/auth/tokens`, { headers: { "X-Auth-Token": current, "X-Subject-Token": current } })
      .catch(() => undefined);
  }
}
