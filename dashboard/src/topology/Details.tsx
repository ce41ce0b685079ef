import { Button, DescriptionList, DescriptionListDescription, DescriptionListGroup, DescriptionListTerm, Flex, FlexItem, Form, FormSelect, FormSelectOption, Title } from "@patternfly/react-core";
import { TimesIcon } from "@patternfly/react-icons";
import { TopologySideBar } from "@patternfly/react-topology";
import { type ReactNode, useEffect, useRef, useState } from "react";
import type { ListedPort, Network, Router } from "../api/types";
import { number, t } from "../language";
import { LinkButton } from "../parts/LinkButton";
import { Status } from "../parts/Status";
import { disconnect } from "../servers/work";
import { connectRouter, connectServer, cutRouter } from "./connecting";
import { connectable, type Guest, interfaces, joinable, type Known } from "./layout";

/** What is chosen in the drawing: what it is, what it is connected to, and what can be done with it. */
export function Details({ id, known, write, close }: { id: string; known: Known; write: boolean; close: () => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), [id]);
  const network = known.networks.find((found) => found.id === id);
  const router = known.routers.find((found) => found.id === id);
  const guest = known.guests.find((found) => found.id === id);
  const found = network ?? router ?? guest;
  if (!found) return null;
  const kind = network ? (network["router:external"] ? t("Network outside") : t("Network")) : router ? t("Router") : t("Server");
  return (
    <TopologySideBar show aria-label={found.name} className="st-side">
      <Flex justifyContent={{ default: "justifyContentSpaceBetween" }} alignItems={{ default: "alignItemsFlexStart" }} flexWrap={{ default: "nowrap" }}>
        <FlexItem>
          <div className="st-muted">{kind}</div>
          <Title headingLevel="h2" size="lg"><span ref={heading} tabIndex={-1} className="st-wrap">{found.name || t("(no name)")}</span></Title>
        </FlexItem>
        <FlexItem><Button variant="plain" icon={<TimesIcon />} aria-label={t("Close")} onClick={close} /></FlexItem>
      </Flex>
      {network ? <OfNetwork network={network} known={known} write={write} /> : router ? <OfRouter router={router} known={known} write={write} /> : <OfServer guest={guest as Guest} known={known} write={write} />}
    </TopologySideBar>
  );
}

function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <DescriptionList isCompact className="st-below">
      {rows.map(([term, value]) => (
        <DescriptionListGroup key={term}><DescriptionListTerm>{term}</DescriptionListTerm><DescriptionListDescription>{value}</DescriptionListDescription></DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}

function OfNetwork({ network, known, write }: { network: Network; known: Known; write: boolean }) {
  const subnets = known.subnets.filter((subnet) => subnet.network_id === network.id);
  const servers = new Set(known.ports.filter((port) => port.network_id === network.id && port.device_owner.startsWith("compute:")).map((port) => port.device_id)).size;
  const outside = network["router:external"];
  return (
    <>
      <Facts rows={[[t("Status"), <Status key="s" value={network.status} />], [t("Subnets"), subnets.length > 0 ? subnets.map((subnet) => <div key={subnet.id} className="st-mono">{subnet.cidr}</div>) : t("none")], [t("Servers"), number(servers)]]} />
      <Flex className="st-below">
        <LinkButton variant="secondary" to={`/networks/${network.id}`}>{t("Open its page")}</LinkButton>
        {write && !outside && subnets.length > 0 && <LinkButton to={`/servers/launch?network=${network.id}`}>{t("Launch a server on it")}</LinkButton>}
      </Flex>
    </>
  );
}

function OfRouter({ router, known, write }: { router: Router; known: Known; write: boolean }) {
  const out = router.external_gateway_info;
  return (
    <>
      <Facts rows={[[t("Status"), <Status key="s" value={router.status} />],
        [t("Way out"), out ? <>{nameOf(known, out.network_id)} <span className="st-mono">{out.external_fixed_ips?.map((ip) => ip.ip_address).join(", ")}</span></> : t("none")]]} />
      <Connections known={known} ports={interfaces(router, known.ports)} write={write} cut={(port) => cutRouter(router, port, nameOf(known, port.network_id))} />
      {write && <Connect known={known} ids={connectable(router, known.networks, known.ports)} run={(to) => connectRouter(router, to)} />}
      <LinkButton className="st-below" variant="secondary" to="/routers">{t("All routers")}</LinkButton>
    </>
  );
}

function OfServer({ guest, known, write }: { guest: Guest; known: Known; write: boolean }) {
  const ports = known.ports.filter((port) => port.device_id === guest.id);
  const open = joinable(guest, known.networks, known.ports);
  const change = write && !guest.locked && ["ACTIVE", "SHUTOFF", "PAUSED"].includes(guest.status);
  return (
    <>
      <Facts rows={[[t("Status"), <Status key="s" value={guest.status} />], [t("Public address"), guest.floating.length > 0 ? <span className="st-mono">{guest.floating.join(", ")}</span> : t("none")]]} />
      <Connections known={known} ports={ports} write={change} cut={(port) => disconnect(guest, port, nameOf(known, port.network_id))} />
      {change && <Connect known={known} ids={open} run={(to) => connectServer(guest, to)} />}
      <LinkButton className="st-below" variant="secondary" to={`/servers/${guest.id}`}>{t("Open its page")}</LinkButton>
    </>
  );
}

function nameOf(known: Known, id: string): string {
  return known.networks.find((network) => network.id === id)?.name || t("another project's network");
}

function Connections({ known, ports, write, cut }: { known: Known; ports: ListedPort[]; write: boolean; cut: (port: ListedPort) => void }) {
  return (
    <div className="st-below">
      <Title headingLevel="h3" size="md">{t("Connected to")}</Title>
      {ports.length === 0 && <p className="st-muted">{t("no network yet")}</p>}
      <ul className="st-connections">
        {ports.map((port) => (
          <li key={port.id}>
            <span><span className="st-wrap">{nameOf(known, port.network_id)}</span><br /><span className="st-mono st-muted">{port.fixed_ips.map((ip) => ip.ip_address).join(", ")}</span></span>
            {write && <Button variant="link" isInline onClick={() => cut(port)} aria-label={t("Disconnect from {{name}}", { name: nameOf(known, port.network_id) })}>{t("Disconnect")}</Button>}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Connect({ known, ids, run }: { known: Known; ids: string[]; run: (to: Network) => Promise<unknown> }) {
  const offered = known.networks.filter((network) => ids.includes(network.id)).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const [chosen, setChosen] = useState("");
  const [busy, setBusy] = useState(false);
  const to = offered.find((network) => network.id === chosen) ?? offered[0];
  if (!to) return <p className="st-muted st-below">{t("It is connected to every network that it can be connected to.")}</p>;
  return (
    <Form className="st-below st-connect" onSubmit={(event) => {
      event.preventDefault();
      setBusy(true);
      void run(to).finally(() => setBusy(false));
    }}>
      <FormSelect value={to.id} aria-label={t("Network to connect to")} onChange={(_event, id) => setChosen(id)}>
        {offered.map((network) => <FormSelectOption key={network.id} value={network.id} label={network["router:external"] ? t("{{name}} (outside)", { name: network.name }) : network.name} />)}
      </FormSelect>
      <Button type="submit" variant="secondary" isLoading={busy} isDisabled={busy}>{t("Connect")}</Button>
    </Form>
  );
}
