import { Button, Flex, FlexItem } from "@patternfly/react-core";
import { TopologyIcon } from "@patternfly/react-icons";
import { useDeferredValue, useEffect, useMemo, useState } from "react";
import { useNetworks, usePorts, useRouters, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import { t } from "../language";
import { CreateNetwork } from "../network/NetworksPage";
import { CreateRouter } from "../network/RoutersPage";
import { LinkButton } from "../parts/LinkButton";
import { Loading } from "../parts/Loading";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { connectRouter, connectServer } from "./connecting";
import { Details } from "./Details";
import { useGuests } from "./guests";
import { draw, type Known } from "./layout";
import { Surface } from "./Surface";

/** The project's networks, drawn; it follows changes. Networks, routers and servers are made and connected in it. */
export function TopologyPage() {
  const write = mayWrite(useSession());
  const [networks, subnets, routers, ports] = [useNetworks(), useSubnets(), useRouters(), usePorts()];
  const guests = useGuests();
  const [dialog, setDialog] = useState<"network" | "router" | null>(null);
  const [selected, setSelected] = useState<string | null>(null);
  const [search, setSearch] = useState("");
  const text = useDeferredValue(search.trim().toLowerCase());
  const failed = [networks, subnets, routers, ports, guests].find((query) => query.error);
  const found = guests.data?.found;
  const whole = guests.data?.whole ?? false;
  const known = useMemo<Known | null>(() => networks.data && subnets.data && routers.data && ports.data && found
    ? { networks: networks.data, subnets: subnets.data, routers: routers.data, ports: ports.data, guests: found } : null,
  [networks.data, subnets.data, routers.data, ports.data, found]);
  const usual = useMemo(() => known && draw(known), [known]);
  const drawing = useMemo(() => (known && usual && usual.hidden > 0 && (text || selected) ? draw(known, { text, id: selected }) : usual), [known, usual, text, selected]);
  const close = () => {
    document.querySelector<SVGElement>(`[data-id="box-${selected}"]`)?.focus();
    setSelected(null);
  };
  const choose = (id: string | null) => setSelected(id?.replace(/^more-/, "") ?? null);
  const chosen = drawing?.boxes.some((box) => box.id === selected) ? selected : null;
  useEffect(() => {
    const leave = (event: KeyboardEvent) => event.key === "Escape" && chosen && !document.querySelector("[role=dialog][aria-modal]") && close();
    addEventListener("keydown", leave);
    return () => removeEventListener("keydown", leave);
  });
  const all = networks.data ?? [];
  const outer = all.filter((found) => found["router:external"]);
  const empty = known !== null && whole && outer.length === all.length && known.routers.length === 0 && known.guests.length === 0;
  const connect = (from: string, to: string) => {
    const network = all.find((found) => found.id === to);
    const router = routers.data?.find((found) => found.id === from);
    const guest = found?.find((one) => one.id === from);
    if (network && router) void connectRouter(router, network);
    if (network && guest) void connectServer(guest, network);
  };
  const buttons = write && (
    <Flex gap={{ default: "gapSm" }}>
      {!empty && <FlexItem><LinkButton variant="secondary" to="/servers/launch">{t("Launch a server")}</LinkButton></FlexItem>}
      <FlexItem><Button variant="secondary" onClick={() => setDialog("router")}>{t("Create a router")}</Button></FlexItem>
      <FlexItem><Button onClick={() => setDialog("network")}>{t("Create a network")}</Button></FlexItem>
    </Flex>
  );
  const lead = write ? t("Choose something, or draw a line from it to a network.") : t("Choose something to see what it is connected to.");
  return (
    <Page title={t("Topology")} lead={lead} actions={known && !empty && buttons}>
      {failed && <Problem error={failed.error} retry={() => void failed.refetch()} />}
      {!known || !drawing ? !failed && <Loading /> : empty
        ? <Nothing icon={TopologyIcon} title={t("Nothing to draw yet")} action={buttons} body={t("As soon as there is a network, it appears here with its routers and servers.")} />
        : <Surface drawing={drawing} whole={whole} selected={chosen} choose={choose} search={search} setSearch={setSearch} connect={connect} write={write}
            side={chosen && <Details key={chosen} id={chosen} known={known} write={write} close={close} />} />}
      {dialog === "network" && <CreateNetwork close={() => setDialog(null)} taken={(subnets.data ?? []).map((subnet) => subnet.cidr)} external={outer[0]} />}
      {dialog === "router" && <CreateRouter close={() => setDialog(null)} externals={outer.map((found) => ({ value: found.id, label: found.name }))} />}
    </Page>
  );
}
