import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from "@patternfly/react-core";
import { ExclamationCircleIcon, LockIcon, SearchIcon, UnpluggedIcon } from "@patternfly/react-icons";
import { isRouteErrorResponse, Link, Outlet, useRouteError } from "react-router";
import { ApiError } from "../api/errors";
import { isAdmin, useSession } from "../api/session";
import { t } from "../language";
import { Problem } from "../parts/Problem";

/** What is shown in a page's place when it can't be drawn. */
export function Failure() {
  const error = useRouteError();
  if (isRouteErrorResponse(error) && error.status === 404) return <Missing />;
  if (error instanceof ApiError) return <Problem error={error} retry={() => location.reload()} />;
  return (
    <EmptyState icon={ExclamationCircleIcon} titleText={t("This page has failed")} headingLevel="h1" status="danger">
      <EmptyStateBody>{error instanceof Error ? error.message : String(error)}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions><Button onClick={() => location.reload()}>{t("Load it again")}</Button></EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

export function Missing() {
  return (
    <EmptyState icon={SearchIcon} titleText={t("There is no such page")} headingLevel="h1">
      <EmptyStateBody>{t("The address may be mistyped, or what it named has been deleted.")}</EmptyStateBody>
      <EmptyStateFooter><EmptyStateActions><Link to="/">{t("To the overview")}</Link></EmptyStateActions></EmptyStateFooter>
    </EmptyState>
  );
}

/** Pages of administrators, to those who are; others are told whose they are, not what each part of a page was refused. */
export function ForAdministrators() {
  if (isAdmin(useSession())) return <Outlet />;
  return (
    <EmptyState icon={LockIcon} titleText={t("This page is for administrators")} headingLevel="h1">
      <EmptyStateBody>{t("Your roles in this project don't show it. Choose another project above, or ask an administrator.")}</EmptyStateBody>
      <EmptyStateFooter><EmptyStateActions><Link to="/">{t("To the overview")}</Link></EmptyStateActions></EmptyStateFooter>
    </EmptyState>
  );
}

/** Shown while a page's code can't be fetched. */
export function Unreached({ retry }: { retry: () => void }) {
  return (
    <EmptyState icon={UnpluggedIcon} titleText={t("The cloud doesn't answer")} headingLevel="h1" status="warning">
      <EmptyStateBody>{t("This page couldn't be fetched; it is asked for again by itself. Where the dashboard has been renewed meanwhile, load it again.")}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button onClick={retry}>{t("Try again")}</Button>
          <Button variant="link" onClick={() => location.reload()}>{t("Load the dashboard again")}</Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
