import { Alert, Button, Card, CardBody, ExpandableSection, Form, Title } from "@patternfly/react-core";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError } from "../api/errors";
import { logIn, NoProject } from "../api/session";
import { t } from "../language";
import { TextField } from "../parts/fields";
import { Problem } from "../parts/Problem";

const LAST = "stackling.login";

function remembered(): { user: string; domain: string } {
  try {
    return { user: "", domain: "Default", ...(JSON.parse(localStorage.getItem(LAST) ?? "{}") as object) };
  } catch {
    return { user: "", domain: "Default" };
  }
}

/** User name, domain and password; the first and second are remembered, the third never. */
export function LoginForm({ user: fixed }: { user?: string }) {
  const [user, setUser] = useState(fixed ?? remembered().user);
  const [domain, setDomain] = useState(remembered().domain);
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await logIn(user, password, domain);
      localStorage.setItem(LAST, JSON.stringify({ user, domain }));
    } catch (found) {
      setError(found);
      setPassword("");
      setBusy(false);
    }
  }
  return (
    <Form onSubmit={(event) => void submit(event)}>
      {error instanceof ApiError && error.status === 401
        ? <Alert isInline variant="danger" title={t("User name, domain and password don't match.")}>{t("Or the user or the domain is disabled.")}</Alert>
        : error instanceof NoProject
          ? <Alert isInline variant="warning" title={t("You have no project yet.")}>{t("Ask an administrator for a role in a project, then log in again.")}</Alert>
          : error !== null && <Problem error={error} />}
      {!fixed && <TextField label={t("User name")} value={user} set={setUser} required autoFocus={!user} autoComplete="username" />}
      <TextField label={t("Password")} value={password} set={setPassword} type="password" required autoFocus={!!user} autoComplete="current-password" />
      {!fixed && (
        <ExpandableSection toggleText={t("Domain: {{domain}}", { domain })}>
          <TextField label={t("Domain")} value={domain} set={setDomain} required />
        </ExpandableSection>
      )}
      <Button type="submit" isBlock isLoading={busy} isDisabled={busy || !user || !password || !domain}>{t("Log in")}</Button>
    </Form>
  );
}

export function Login() {
  useEffect(() => {
    document.title = `${t("Log in")} · Stackling`;
  }, []);
  return (
    <main className="st-login">
      <Card isLarge>
        <CardBody>
          <div className="st-brand"><img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" />Stackling</div>
          <br />
          <Title headingLevel="h1" size="xl">{t("Log in to your cloud")}</Title>
          <br />
          <LoginForm />
        </CardBody>
      </Card>
    </main>
  );
}
