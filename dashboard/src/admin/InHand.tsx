import { Card, CardBody, CardTitle, Gallery, Label, Title } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { stackling } from "../api/http";
import { number, t } from "../language";
import { Problem } from "../parts/Problem";
import { nameOfKind, pageOf } from "./audit";
import { byEngine, type Item, type Work } from "./inHand";

/** What each engine works on now, what fails and is tried again, and how much waits. */
export function InHand() {
  const query = useQuery({ queryKey: ["work"], refetchInterval: 3000, retry: false, queryFn: () => stackling.get<Work>("/work", { limit: 100 }) });
  if (query.error && !query.data) return <Problem error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return null;
  const { engines, failing } = byEngine(query.data.work);
  const { counts } = query.data;
  return (
    <section className="st-section" aria-label={t("What the engines have in hand")}>
      <Title headingLevel="h2" size="lg">{t("What the engines have in hand")}</Title>
      <p className="st-muted">{counts.unsettled === 0 ? t("Everything is as it was asked for.") : t("{{hand}} in hand, {{failing}} tried again after a failure, {{all}} to be done in all.", { hand: counts.under_way, failing: counts.failing, all: counts.unsettled })}</p>
      {(engines.length > 0 || failing.length > 0) && (
        <Gallery hasGutter minWidths={{ default: "20rem" }} className="st-below" component="ul">
          {engines.map(({ engine, items }) => (
            <li key={engine}><Card isCompact isFullHeight><CardTitle component="h3">{t("Engine on {{name}}", { name: engine })} <Label isCompact>{number(items.length)}</Label></CardTitle><CardBody><Items items={items} /></CardBody></Card></li>
          ))}
          {failing.length > 0 && <li><Card isCompact isFullHeight><CardTitle component="h3">{t("Tried again")} <Label isCompact>{number(counts.failing)}</Label></CardTitle><CardBody><Items items={failing} /></CardBody></Card></li>}
        </Gallery>
      )}
    </section>
  );
}

/** So many of an engine are named. */
const NAMED = 8;

function Items({ items }: { items: Item[] }) {
  return (
    <ul>
      {items.slice(0, NAMED).map((item) => {
        const page = pageOf({ kind: item.kind, resource_id: item.id, resource_name: item.name, event: "" });
        const name = item.name ?? item.id.slice(0, 8);
        return (
          <li key={`${item.kind}-${item.id}`} className="st-wrap">
            {nameOfKind(item.kind)} {page ? <Link to={page}>{name}</Link> : name}
            {item.attempts > 0 && <span className="st-muted"> · {t("try {{number}}", { number: item.attempts + 1 })}{item.next_try_in !== null && ` · ${t("again in {{seconds}} s", { seconds: Math.ceil(item.next_try_in) })}`}</span>}
            {item.reason && <div className="st-muted">{item.reason}</div>}
          </li>
        );
      })}
      {items.length > NAMED && <li className="st-muted">{t("and {{number}} more", { number: items.length - NAMED })}</li>}
    </ul>
  );
}
