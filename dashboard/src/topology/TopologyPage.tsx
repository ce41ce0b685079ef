import { Button, Card, CardBody } from "@patternfly/react-core";
import { TopologyIcon } from "@patternfly/react-icons";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { compute } from "../api/http";
import { useNetworks, usePorts, useRouters, useSubnets } from "../api/lists";
import { mayWrite, useSession } from "../api/session";
import type { Server } from "../api/types";
import { t } from "../language";
import { Page } from "../parts/Page";
import { Problem } from "../parts/Problem";
import { Nothing } from "../parts/ResourceTable";
import { addresses } from "../servers/actions";
import { Loading } from "../shell/Shell";
import { BOX, draw, type Drawing } from "./layout";

/** The project's networks, drawn; it follows changes. What is drawn is also told as text for who can't see it. */
export function TopologyPage() {
  const write = mayWrite(useSession());
  const [networks, subnets, routers, ports] = [useNetworks(), useSubnets(), useRouters(), usePorts()];
  const guests = useQuery({ queryKey: ["servers", "topology"], refetchInterval: 10_000,
    queryFn: () => compute.get<{ servers: Server[] }>("/servers/detail", { limit: 200 }).then((body) => body.servers.map((server) => ({ id: server.id, name: server.name, status: server.status, floating: addresses(server).floating }))) });
  const failed = [networks, subnets, routers, ports, guests].find((query) => query.error);
  const ready = networks.data && subnets.data && routers.data && ports.data && guests.data;
  const inner = (networks.data ?? []).filter((network) => !network["router:external"]);
  const make = write && <Button component={(props) => <Link {...props} to="/networks" />} variant="secondary">{t("Create a network")}</Button>;
  return (
    <Page title={t("Topology")} lead={t("The outside on top, routers below it, then networks with their servers.")}
      actions={ready && inner.length > 0 && write && <><Button component={(props) => <Link {...props} to="/routers" />} variant="secondary">{t("Routers")}</Button> &nbsp;{make}</>}>
      {failed && <Problem error={failed.error} retry={() => void failed.refetch()} />}
      {!ready ? !failed && <Loading /> : inner.length === 0 && routers.data?.length === 0
        ? <Nothing icon={TopologyIcon} title={t("Nothing to draw yet")} action={make} body={t("As soon as there is a network, it appears here with its routers and servers.")} />
        : <Card><CardBody className="st-scroll"><Picture drawing={draw(networks.data ?? [], subnets.data ?? [], routers.data ?? [], ports.data ?? [], guests.data ?? [])} /></CardBody></Card>}
    </Page>
  );
}

function short(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function Picture({ drawing }: { drawing: Drawing }) {
  return (
    <svg className="st-topology" viewBox={`0 0 ${drawing.width} ${drawing.height}`} style={{ maxWidth: drawing.width * 1.15 }} role="group" aria-label={t("Topology")}>
      {drawing.lines.map((line) => <polyline key={line.id} className={line.up ? "line on" : "line"} points={line.points.map((point) => point.join(",")).join(" ")} />)}
      {drawing.bars.map((bar) => (
        <Link key={bar.id} to="/networks">
          <rect className="box" x={bar.x} y={bar.y} width={bar.width} height={44} rx={6} />
          <rect className="bar" x={bar.x} y={bar.y} width={bar.width} height={5} rx={2.5} />
          <text x={bar.x + 12} y={bar.y + 21}>{short(bar.name, Math.floor(bar.width / 8))}</text>
          <text className="small" x={bar.x + 12} y={bar.y + 36}>{bar.external ? t("outside") : ""}{bar.external && bar.detail ? " · " : ""}{short(bar.detail, Math.floor(bar.width / 8))}</text>
        </Link>
      ))}
      {drawing.boxes.map((box) => (
        <Link key={`${box.kind}-${box.id}-${box.x}-${box.y}`} to={box.kind === "server" ? `/servers/${box.id}` : box.kind === "router" ? "/routers" : "/servers"}>
          <rect className="box" x={box.x} y={box.y} width={BOX.width} height={BOX.height} rx={8} />
          <circle cx={box.x + 16} cy={box.y + 20} r={5} fill={box.up ? "var(--pf-t--global--color--status--success--default)" : "var(--pf-t--global--border--color--default)"} />
          <text x={box.x + 28} y={box.y + 24}>{short(box.name, 16)}</text>
          <text className="small" x={box.x + 28} y={box.y + 41}>{short(box.detail, 20)}</text>
        </Link>
      ))}
    </svg>
  );
}
