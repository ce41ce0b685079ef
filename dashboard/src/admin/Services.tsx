import { CogsIcon } from "@patternfly/react-icons";
import { t } from "../language";
import { ago, when } from "../parts/format";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { type Part, useParts } from "./serviceList";

/** Every service, whichever API tells of it, and when it was heard of last. */
export function Services() {
  const query = useParts();
  const columns: Column<Part>[] = [
    { title: t("Service"), cell: (s) => s.name, sort: (s) => s.name, nowrap: true },
    { title: t("Of"), cell: (s) => s.of, sort: (s) => s.of },
    { title: t("Host"), cell: (s) => s.host, sort: (s) => s.host },
    { title: t("State"), cell: (s) => <><Status value={s.up ? "up" : "down"} bad={!s.up} />{!s.enabled && <> <Status value="disabled" /></>}</>, sort: (s) => Number(s.up), nowrap: true },
    { title: t("Heard of"), cell: (s) => <span title={when(s.at)}>{ago(s.at)}</span>, sort: (s) => s.at, nowrap: true },
  ];
  return (
    <ResourceTable label={t("Services")} rows={query.data} error={query.error} retry={() => void query.refetch()} columns={columns} rowKey={(s) => s.key} text={(s) => `${s.name} ${s.of} ${s.host}`}
      empty={{ icon: CogsIcon, title: t("No services yet"), body: t("A service appears when it has reported for the first time.") }} />
  );
}
