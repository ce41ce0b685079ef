import { Alert, Button, Flex, FlexItem } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { stackling } from "../api/http";
import { t } from "../language";
import { confirmLoss } from "../parts/dialog";
import { ago, when } from "../parts/format";
import { Problem } from "../parts/Problem";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { perform } from "../parts/work";

interface Finding { what: string; id: string; where: string; state: string; detail: string }
interface Found { number: number; at: string; more: number; findings: Finding[] }

const STALE = ["storage"];
const ROUND = 1000;
const ROUNDS = 600;

/** What lies in the backends and isn't known, or is known and doesn't lie there: Stackling's own API, hidden on other clouds. */
export function StorageCheck() {
  const query = useQuery({ queryKey: ["storage", "check"], queryFn: last });
  const found = query.data;
  const left = found?.findings.filter((one) => one.state === "left over").length ?? 0;
  const columns: Column<Finding>[] = [
    { title: t("What"), cell: (one) => one.what, sort: (one) => one.what, nowrap: true },
    { title: t("Where"), cell: (one) => one.where, sort: (one) => one.where },
    { title: t("Finding"), cell: (one) => meaning(one), sort: (one) => one.state },
    { title: t("Id"), cell: (one) => <span className="st-mono">{one.id}</span>, sort: (one) => one.id },
    { title: t("Detail"), cell: (one) => <>{one.detail || "–"} {one.state !== "silent" && <Link to={`/admin/audit?id=${one.id}&all=1`}>{t("What happened to it")}</Link>}</> },
  ];
  return (
    <>
      <Flex gap={{ default: "gapSm" }} alignItems={{ default: "alignItemsCenter" }} className="st-above">
        <FlexItem><Button variant="secondary" onClick={() => void check(false)}>{t("Compare now")}</Button></FlexItem>
        {left > 0 && <FlexItem><Button variant="secondary" isDanger onClick={() => remove(left)}>{t("Remove what is left over")}</Button></FlexItem>}
        {found && <FlexItem className="st-muted" title={when(found.at)}>{t("Compared {{time}}.", { time: ago(found.at) })}</FlexItem>}
      </Flex>
      {query.error && <Problem error={query.error} retry={() => void query.refetch()} />}
      {found === null && <Alert isInline isPlain variant="info" title={t("Never compared yet.")}>{t("Everything that lies in the backends is looked for in the database, and the other way round. Nothing is changed.")}</Alert>}
      {found && <ResourceTable label={t("Findings")} rows={found.findings} columns={columns} rowKey={(one) => `${one.what} ${one.where} ${one.id}`} text={(one) => `${one.what} ${one.where} ${one.state} ${one.id}`}
        empty={{ icon: CheckCircleIcon, title: t("All is as it should be"), body: t("What lies in the backends is known, and what is known lies there.") }} />}
      {found && found.more > 0 && <p>{t("and {{number}} more", { number: found.more })}</p>}
    </>
  );
}

function meaning(one: Finding): string {
  const words: Record<string, string> = {
    "left over": t("left of what was deleted"), unknown: t("nobody's; it is never touched"), missing: t("known, but it isn't there"), silent: t("the backend doesn't answer"),
    removed: t("removed"), left: t("it can't be removed"),
  };
  return words[one.state] ?? one.state;
}

function last(): Promise<Found | null> {
  return stackling.get<{ storage_audit: Found | null }>("/storage_audit").then((body) => body.storage_audit);
}

async function check(fix: boolean): Promise<void> {
  await perform(fix ? t("Remove what is left over") : t("Compare the storage with the database"), async (tell) => {
    const { storage_audit: asked } = await stackling.post<{ storage_audit: { number: number } }>("/storage_audit", { fix });
    tell(t("the backends are listed"));
    for (let round = 0; round < ROUNDS; round++) {
      if (((await last())?.number ?? 0) >= asked.number) return;
      await new Promise((resolve) => setTimeout(resolve, ROUND));
    }
    throw new Error(t("It isn't through yet. Look here again later; if it never is, see whether the engine runs."));
  }, STALE);
}

function remove(number: number): void {
  confirmLoss({
    title: t("Remove what is left of {{number}} deleted things?", { number }), button: t("Remove"),
    body: t("They were deleted before, and nobody can reach them any more; their space becomes free."),
    run: async () => void check(true),
  });
}
