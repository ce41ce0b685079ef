import { Button } from "@patternfly/react-core";
import { BalanceScaleIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link } from "react-router";
import { useBalancers, useFloatingIps } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Balancer } from "../api/types";
import { t } from "../language";
import { Page } from "../parts/Page";
import { type Column, ResourceTable } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { CreateBalancer } from "./CreateBalancer";
import { publicAddress, release, remove } from "./work";

export function BalancersPage() {
  const write = mayWrite(useSession());
  const balancers = useBalancers();
  const ips = useFloatingIps();
  const [making, setMaking] = useState(false);
  const button = write && <Button onClick={() => setMaking(true)}>{t("Create a load balancer")}</Button>;
  const ipOf = (found: Balancer) => ips.data?.find((ip) => ip.port_id === found.vip_port_id);
  const columns: Column<Balancer>[] = [
    { title: t("Name"), cell: (b) => <Link to={`/load-balancers/${b.id}`}>{b.name || b.id}</Link>, sort: (b) => b.name },
    { title: t("Status"), cell: (b) => <Status value={b.provisioning_status} />, sort: (b) => b.provisioning_status, nowrap: true },
    { title: t("Answers"), cell: (b) => <Status value={b.operating_status} />, sort: (b) => b.operating_status, nowrap: true },
    { title: t("Public address"), cell: (b) => ipOf(b)?.floating_ip_address ?? <span className="st-muted">{t("none")}</span>, nowrap: true },
    { title: t("Inner address"), cell: (b) => b.vip_address, nowrap: true },
  ];
  return (
    <Page title={t("Load balancers")} actions={balancers.data?.length ? button : undefined} lead={t("One address for several servers.")}>
      <ResourceTable label={t("Load balancers")} rows={balancers.data} error={balancers.error} retry={() => void balancers.refetch()} columns={columns} rowKey={(b) => b.id} text={(b) => `${b.name} ${b.vip_address} ${ipOf(b)?.floating_ip_address ?? ""}`}
        actions={write ? (b) => {
          const ip = ipOf(b);
          return [
            ip ? { title: t("Release {{address}}", { address: ip.floating_ip_address }), onClick: () => void release(ip) } : { title: t("Give a public address"), onClick: () => void publicAddress(b) },
            { isSeparator: true }, { title: t("Delete"), isDanger: true, onClick: () => remove([b]) }];
        } : undefined}
        bulk={write ? [{ title: t("Delete"), isDanger: true, run: (found) => remove(found) }] : undefined}
        empty={{ icon: BalanceScaleIcon, title: t("No load balancers yet"), action: button, body: t("A load balancer gives several servers one address and leaves out those that don't answer.") }} />
      {making && <CreateBalancer close={() => setMaking(false)} />}
    </Page>
  );
}
