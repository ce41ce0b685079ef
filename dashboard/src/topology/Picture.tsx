import type { KeyboardEvent, ReactNode } from "react";
import { Link } from "react-router";
import { t } from "../language";
import { BOX, type Drawing } from "./layout";

/** What can be done in the drawing. */
export interface Edit {
  start: (routerId: string) => void;
  finish: (networkId: string) => void;
  cut: (routerId: string, portId: string) => void;
}

function short(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** Something in the drawing that is pressed, by pointer or keyboard. */
function Press({ label, press, className, children }: { label: string; press: () => void; className?: string; children: ReactNode }) {
  const key = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  };
  return <g role="button" tabIndex={0} aria-label={label} className={className} onClick={press} onKeyDown={key}><title>{label}</title>{children}</g>;
}

export function Picture({ drawing, connecting, targets, edit }: { drawing: Drawing; connecting: string | null; targets: Set<string>; edit?: Edit }) {
  const names = new Map(drawing.boxes.filter((box) => box.kind === "router").map((box) => [box.id, box.name]));
  return (
    <svg className={connecting ? "st-topology connecting" : "st-topology"} viewBox={`0 0 ${drawing.width} ${drawing.height}`} style={{ maxWidth: drawing.width * 1.15 }} role="group" aria-label={t("Topology")}>
      {drawing.lines.map((line) => <polyline key={line.id} className={line.up ? "line on" : "line"} points={line.points.map((point) => point.join(",")).join(" ")} />)}
      {edit && !connecting && drawing.lines.map((line) => {
        const end = line.points.at(-1);
        return line.port && line.router && end ? (
          <Press key={`cut-${line.id}`} className="knob cut" label={t("Disconnect {{name}} here", { name: names.get(line.router) })} press={() => edit.cut(line.router as string, line.port as string)}>
            <circle cx={end[0]} cy={end[1] - 14} r={8} /><path d={`M${end[0] - 3},${end[1] - 17} l6,6 m0,-6 l-6,6`} />
          </Press>
        ) : null;
      })}
      {drawing.bars.map((bar) => {
        const shape = (
          <>
            <rect className="box" x={bar.x} y={bar.y} width={bar.width} height={44} rx={6} />
            <rect className="bar" x={bar.x} y={bar.y} width={bar.width} height={5} rx={2.5} />
            <text x={bar.x + 12} y={bar.y + 21}>{short(bar.name, Math.floor(bar.width / 8))}</text>
            <text className="small" x={bar.x + 12} y={bar.y + 36}>{bar.external ? t("outside") : ""}{bar.external && bar.detail ? " · " : ""}{short(bar.detail, Math.floor(bar.width / 8))}</text>
          </>
        );
        return connecting && targets.has(bar.id)
          ? <Press key={bar.id} className="target" label={t("Connect to {{name}}", { name: bar.name })} press={() => edit?.finish(bar.id)}>{shape}</Press>
          : <Link key={bar.id} to={`/networks/${bar.id}`}>{shape}</Link>;
      })}
      {drawing.boxes.map((box) => (
        <Link key={`${box.kind}-${box.id}-${box.x}-${box.y}`} to={box.kind === "server" ? `/servers/${box.id}` : box.kind === "router" ? "/routers" : "/servers"}>
          <rect className="box" x={box.x} y={box.y} width={BOX.width} height={BOX.height} rx={8} />
          <circle cx={box.x + 16} cy={box.y + 20} r={5} fill={box.up ? "var(--pf-t--global--color--status--success--default)" : "var(--pf-t--global--border--color--default)"} />
          <text x={box.x + 28} y={box.y + 24}>{short(box.name, 14)}</text>
          <text className="small" x={box.x + 28} y={box.y + 41}>{short(box.detail, 20)}</text>
        </Link>
      ))}
      {edit && drawing.boxes.filter((box) => box.kind === "router").map((box) => (
        <Press key={`join-${box.id}`} className={connecting === box.id ? "knob join on" : "knob join"} label={t("Connect {{name}} to a network", { name: box.name })} press={() => edit.start(box.id)}>
          <circle cx={box.x + BOX.width} cy={box.y + BOX.height / 2} r={10} /><path d={`M${box.x + BOX.width - 5},${box.y + BOX.height / 2} h10 m-5,-5 v10`} />
        </Press>
      ))}
    </svg>
  );
}
