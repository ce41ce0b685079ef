import { Checkbox, FormGroup, SearchInput } from "@patternfly/react-core";
import { useMemo, useState } from "react";
import { balancer } from "../api/http";
import { useNetworks, usePorts, useSubnets } from "../api/lists";
import { useSession } from "../api/session";
import type { Balancer } from "../api/types";
import { t } from "../language";
import { FormDialog } from "../parts/dialog";
import { ChoiceField, TextField } from "../parts/fields";
import { perform, refresh } from "../parts/work";
import { useServerNames } from "../servers/all";
import { balancerBody, isPort, type Wish } from "./request";
import { settled, STALE } from "./work";

/** From so many servers on there is something to search in, and so many are offered at once. */
const MANY = 8;
const MOST = 50;
const order = new Intl.Collator(undefined, { numeric: true });

/** The servers' addresses that a load balancer can lead to, one a port. */
export function useTargets(): { id: string; server: string; name: string; address: string; subnet: string }[] {
  const ports = usePorts().data;
  const names = useServerNames().data;
  return useMemo(() => (ports ?? []).flatMap((port) => {
    const name = names?.get(port.device_id);
    return name === undefined ? [] : port.fixed_ips.filter((ip) => !ip.ip_address.includes(":")).map((ip) => ({ id: `${port.id}-${ip.ip_address}`, server: port.device_id, name, address: ip.ip_address, subnet: ip.subnet_id }));
  }).sort((a, b) => order.compare(a.name, b.name)), [ports, names]);
}

export function CreateBalancer({ close }: { close: () => void }) {
  const { project } = useSession();
  const subnets = useSubnets();
  const networks = useNetworks();
  const targets = useTargets();
  const [name, setName] = useState("");
  const [protocol, setProtocol] = useState("TCP");
  const [port, setPort] = useState("80");
  const [inner, setInner] = useState("");
  const [subnetChosen, setSubnet] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [sought, setSought] = useState("");
  const [watch, setWatch] = useState(true);
  const mine = new Map((networks.data ?? []).filter((found) => !found["router:external"] && (found.project_id === project.id || found.shared)).map((found) => [found.id, found]));
  const usable = (subnets.data ?? []).filter((found) => found.ip_version === 4 && mine.has(found.network_id));
  const subnet = subnetChosen || targets.find((one) => usable.some((found) => found.id === one.subnet))?.subnet || usable[0]?.id || "";
  const members = targets.filter((one) => chosen.has(one.id));
  const wanted = sought.trim().toLowerCase();
  const offered = targets.filter((one) => chosen.has(one.id) || `${one.name} ${one.address}`.toLowerCase().includes(wanted));
  const shown = offered.filter((one, index) => index < MOST || chosen.has(one.id));
  const memberPort = inner || port;
  return (
    <FormDialog title={t("Create a load balancer")} button={t("Create")} close={close} ready={name.trim() !== "" && isPort(port) && isPort(memberPort) && subnet !== ""}
      description={t("One address for several servers: each connection goes to one that answers.")}
      submit={async () => {
        const wish: Wish = { name, subnet, protocol: protocol as Wish["protocol"], port: Number(port), memberPort: Number(memberPort), members, watch };
        const { loadbalancer } = await balancer.post<{ loadbalancer: Balancer }>("/lbaas/loadbalancers", balancerBody(wish));
        refresh(STALE);
        void perform(t("Create load balancer {{name}}", { name: name.trim() }), (tell) => settled(loadbalancer.id, tell), STALE);
      }}>
      <TextField label={t("Name")} value={name} set={setName} required autoFocus />
      <ChoiceField label={t("Protocol")} value={protocol} set={setProtocol} options={[{ value: "TCP", label: t("TCP (web, TLS, databases)") }, { value: "UDP", label: "UDP" }]} />
      <TextField label={t("Port")} type="number" value={port} set={setPort} required error={isPort(port) ? undefined : t("From 1 to 65535.")} />
      <FormGroup role="group" label={t("Servers")}>
        {targets.length === 0 ? <span className="st-muted">{t("There are no servers yet; they can be added later.")}</span> : <>
          {targets.length > MANY && <SearchInput aria-label={t("Find a server")} placeholder={t("Find a name or address")} value={sought} onChange={(_event, value) => setSought(value)} onClear={() => setSought("")} className="st-above" />}
          <div className="st-choices">{shown.map((one) => (
            <Checkbox key={one.id} id={`member-${one.id}`} label={`${one.name} (${one.address})`} isChecked={chosen.has(one.id)} onChange={(_event, on) => setChosen((before) => {
              const next = new Set(before);
              if (on) next.add(one.id);
              else next.delete(one.id);
              return next;
            })} />
          ))}</div>
          {offered.length > shown.length && <p className="st-muted">{t("and {{number}} more", { number: offered.length - shown.length })}</p>}
        </>}
      </FormGroup>
      <TextField label={t("Port on the servers")} type="number" value={memberPort} set={setInner} help={t("Let it in by the servers' security groups.")} error={isPort(memberPort) ? undefined : t("From 1 to 65535.")} />
      {usable.length > 1 && <ChoiceField label={t("Its address is in")} value={subnet} set={setSubnet} options={usable.map((found) => ({ value: found.id, label: `${mine.get(found.network_id)?.name}: ${found.cidr}` }))} />}
      <Checkbox id="watch" label={t("Watch the servers and leave out who doesn't answer")} isChecked={watch} onChange={(_event, on) => setWatch(on)} />
    </FormDialog>
  );
}
