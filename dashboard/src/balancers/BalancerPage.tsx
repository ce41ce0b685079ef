import { Button, Card, CardBody, CardTitle, ClipboardCopy, DescriptionList, Flex, FlexItem } from "@patternfly/react-core";
import { BalanceScaleIcon, GlobeIcon } from "@patternfly/react-icons";
import { ActionsColumn, Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { ApiError } from "../api/errors";
import { balancer } from "../api/http";
import { every } from "../api/live";
import { useFloatingIps } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Balancer, BalancerTree } from "../api/types";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { Status } from "../parts/Status";
import { Term } from "../parts/Term";
import { perform } from "../parts/work";
import { useTargets } from "./CreateBalancer";
import { isPort, memberBody } from "./request";
import { type Pool, publicAddress, release, remove, settled, STALE } from "./work";

export function BalancerPage() {
  const { id = "" } = useParams();
  const write = mayWrite(useSession());
  const navigate = useNavigate();
  const ips = useFloatingIps();
  const query = useQuery({ queryKey: ["balancer", id], refetchInterval: every(3000), queryFn: () => balancer.get<{ loadbalancer: Balancer }>(`/lbaas/loadbalancers/${id}`).then((body) => body.loadbalancer) });
  const tree = useQuery({ queryKey: ["balancer", id, "tree"], refetchInterval: every(3000), queryFn: () => balancer.get<{ statuses: { loadbalancer: BalancerTree } }>(`/lbaas/loadbalancers/${id}/status`).then((body) => body.statuses.loadbalancer) });
  const [adding, setAdding] = useState<Pool | null>(null);
  const found = query.data;
  const parents = [{ title: t("Load balancers"), to: "/load-balancers" }];
  const gone = query.error instanceof ApiError && query.error.status === 404;
  if (!found || gone) {
    return (
      <Page title={t("Load balancer")} parents={parents}>
        {gone ? <Nothing icon={BalanceScaleIcon} title={t("This load balancer isn't there any more")} body={t("It has been deleted, or it belongs to another project.")} action={<Link to="/load-balancers">{t("To the load balancers")}</Link>} />
          : query.error ? <Problem error={query.error} retry={() => void query.refetch()} /> : <Loading />}
      </Page>
    );
  }
  const ip = ips.data?.find((one) => one.port_id === found.vip_port_id);
  return (
    <Page title={found.name} parents={parents} lead={found.description} badge={<><Status value={found.provisioning_status} /><Status value={found.operating_status} /></>}
      actions={write && <Flex gap={{ default: "gapSm" }} flexWrap={{ default: "nowrap" }}>
        <FlexItem>{ip ? <Button variant="secondary" onClick={() => void release(ip)}>{t("Release {{address}}", { address: ip.floating_ip_address })}</Button>
          : <Button variant="secondary" icon={<GlobeIcon />} onClick={() => void publicAddress(found)}>{t("Give a public address")}</Button>}</FlexItem>
        <FlexItem><Button variant="danger" onClick={() => remove([found], () => void navigate("/load-balancers"))}>{t("Delete")}</Button></FlexItem>
      </Flex>}>
      {query.error && <Problem error={query.error} title={t("This may be out of date")} />}
      <Card>
        <CardBody>
          <DescriptionList isHorizontal isCompact>
            <Term name={t("Public address")}>{ip ? <ClipboardCopy isReadOnly hoverTip={t("Copy")} clickTip={t("Copied")} variant="inline-compact">{ip.floating_ip_address}</ClipboardCopy> : t("none")}</Term>
            <Term name={t("Inner address")}><span className="st-mono">{found.vip_address}</span></Term>
            <Term name={t("Made by")}>{found.provider}</Term>
          </DescriptionList>
        </CardBody>
      </Card>
      {tree.error && !tree.data && <Problem error={tree.error} />}
      {tree.data?.listeners.map((listener) => listener.pools.map((pool) => (
        <PoolCard key={listener.id + pool.id} balancerId={id} title={listener.name} pool={pool} write={write} add={() => setAdding(pool)} />
      )))}
      {adding && <AddMember close={() => setAdding(null)} balancerId={id} pool={adding} />}
    </Page>
  );
}

function PoolCard({ balancerId, title, pool, write, add }: { balancerId: string; title: string; pool: Pool; write: boolean; add: () => void }) {
  const targets = useTargets();
  const serverOf = (address: string) => targets.find((one) => one.address === address);
  return (
    <Card className="st-below">
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>
        {pool.health_monitor ? null : <p className="st-muted">{t("Nobody watches whether these servers answer.")}</p>}
        <Table aria-label={title} variant="compact">
          <Thead><Tr><Th>{t("Server")}</Th><Th>{t("Address")}</Th><Th>{t("Port")}</Th><Th>{t("Answers")}</Th>{write && <Th screenReaderText={t("Actions")} />}</Tr></Thead>
          <Tbody>
            {pool.members.length === 0 && <Tr><Td colSpan={5} className="st-muted">{t("no servers yet")}</Td></Tr>}
            {pool.members.map((member) => (
              <Tr key={member.id}>
                <Td dataLabel={t("Server")}>{serverOf(member.address) ? <Link to={`/servers/${serverOf(member.address)?.server}`}>{serverOf(member.address)?.name}</Link> : member.name || "–"}</Td>
                <Td dataLabel={t("Address")}>{member.address}</Td>
                <Td dataLabel={t("Port")}>{member.protocol_port}</Td>
                <Td dataLabel={t("Answers")}><Status value={member.operating_status} /></Td>
                {write && <Td isActionCell><ActionsColumn items={[{ title: t("Take it out"), isDanger: true, onClick: () => void perform(t("Take {{address}} out", { address: member.address }), async (tell) => {
                  await balancer.delete(`/lbaas/pools/${pool.id}/members/${member.id}`);
                  await settled(balancerId, tell);
                }, STALE) }]} /></Td>}
              </Tr>
            ))}
          </Tbody>
        </Table>
        {write && <Button variant="link" onClick={add}>{t("Add a server")}</Button>}
      </CardBody>
    </Card>
  );
}

function AddMember({ close, balancerId, pool }: { close: () => void; balancerId: string; pool: Pool }) {
  const targets = useTargets().filter((one) => !pool.members.some((member) => member.address === one.address));
  const [chosen, setChosen] = useState("");
  const [port, setPort] = useState(String(pool.members[0]?.protocol_port ?? 80));
  const target = targets.find((one) => one.id === chosen) ?? targets[0];
  return (
    <FormDialog title={t("Add a server")} button={t("Add")} close={close} ready={target !== undefined && isPort(port)}
      submit={async () => {
        if (!target) return;
        await balancer.post(`/lbaas/pools/${pool.id}/members`, { member: memberBody(target, Number(port)) });
        void perform(t("Add {{name}}", { name: target.name }), (tell) => settled(balancerId, tell), STALE);
      }}>
      <ChoiceField label={t("Server")} value={target?.id ?? ""} set={setChosen} options={targets.map((one) => ({ value: one.id, label: `${one.name} (${one.address})` }))}
        error={target ? undefined : t("Every server of this project is in it already.")} />
      <TextField label={t("Port on the servers")} type="number" value={port} set={setPort} required error={isPort(port) ? undefined : t("From 1 to 65535.")} />
    </FormDialog>
  );
}
