import { GlobeIcon, NetworkIcon, RouteIcon, ServerIcon, UnpluggedIcon } from "@patternfly/react-icons";
import {
  type DragEvent, type DragSourceSpec, GraphComponent, type GraphElement, isNode, Layer, type Node, observer, ScaleDetailsLevel, TOP_LAYER, useDndDrag, withDndDrop, type WithDndDropProps, withPanZoom,
  type WithPanZoomProps,
} from "@patternfly/react-topology";
import { type ComponentType, createContext, type KeyboardEvent, useContext } from "react";
import { t } from "../language";
import { type Box, HEADER, type Line, LOOSE } from "./layout";

/** What the page tells the drawing, and is told by it. */
export interface Hand {
  selected: string | null;
  choose: (id: string | null) => void;
  /** What the search looks for, in lower case; everything else is dimmed. */
  wanted: string;
}

export const HandContext = createContext<Hand>({ selected: null, choose: () => undefined, wanted: "" });
/** Told to the controller's listeners when somebody has drawn a line from one box to another. */
export const CONNECT = "connect";
const LINE = "line";

const ICONS: Record<Box["kind"], ComponentType | null> = { network: NetworkIcon, outside: GlobeIcon, loose: UnpluggedIcon, router: RouteIcon, server: ServerIcon, more: null };

function kinds(): Record<Box["kind"], string> {
  return { network: t("Network"), outside: t("Network outside"), loose: t("Servers on no network"), router: t("Router"), server: t("Server"), more: "" };
}

export function matches(box: Box, wanted: string): boolean {
  return wanted !== "" && box.kind !== "more" && box.kind !== "loose" && `${box.name} ${box.detail}`.toLowerCase().includes(wanted);
}

/** How wide a letter is, as part of its height. */
const LETTER = 0.56;

function short(text: string, width: number, size: number): string {
  const most = Math.max(3, Math.floor(width / (size * LETTER) + 1e-6));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

interface Shown { element: Node }

/** A line is drawn by dragging a box that can be connected to something. */
const drawn: DragSourceSpec<{ type: string }, { type: string }, GraphElement, { at?: DragEvent }, Shown> = {
  item: { type: LINE }, operation: { type: LINE },
  canDrag: (_monitor, { element }) => (element.getData() as Box).open.length > 0,
  begin: (_monitor, { element }) => element,
  end: (to, monitor, { element }) => {
    if (to && isNode(to) && !monitor.isCancelled()) element.getController().fireEvent(CONNECT, element.getId(), to.getId());
  },
  collect: (monitor) => ({ at: monitor.isDragging() ? monitor.getDragEvent() : undefined }),
};

/** Pressed by pointer or keyboard, it is chosen; while it has the focus, it is in view. */
const Shape = observer(function Shape({ element, dndDropRef, canDrop, hover }: Shown & WithDndDropProps & { canDrop?: boolean; hover?: boolean }) {
  const [{ at }, dragRef] = useDndDrag(drawn, { element });
  const hand = useContext(HandContext);
  const box = element.getData() as Box;
  const level = element.getGraph().getDetailsLevel();
  const frame = ["network", "outside", "loose"].includes(box.kind);
  const chosen = box.kind === "loose" || box.id === `more-${LOOSE}` ? undefined : hand.selected === box.id;
  const Icon = ICONS[box.kind];
  const { width, height } = box;
  const words = [kinds()[box.kind], box.name, box.detail].filter(Boolean).join(" ");
  const classes = ["st-node", box.kind, frame && "frame", hand.selected === box.id && "chosen", hand.wanted && !matches(box, hand.wanted) && "dim", canDrop && "target", canDrop && hover && "over", box.open.length > 0 && "open"].filter(Boolean).join(" ");
  const key = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    hand.choose(box.id);
  };
  const [top, head] = frame ? [4, HEADER] : [0, height];
  const near = level === ScaleDetailsLevel.high;
  const far = level === ScaleDetailsLevel.low;
  const block = far && box.kind === "server";
  const left = near ? 40 : 12;
  const room = width - left - (box.status === "none" ? 8 : 24);
  const usual = near ? 14 : far ? (frame ? 34 : 27) : frame ? 24 : 19;
  const text = box.kind === "more" ? Math.min(usual, room / (box.name.length * LETTER)) : usual;
  const middle = (top + head) / 2;
  return (
    <g ref={dragRef as never} className={classes} data-id={`box-${box.id}`} role={chosen === undefined ? undefined : "button"} tabIndex={chosen === undefined ? undefined : 0} aria-pressed={chosen}
      onClick={() => chosen !== undefined && hand.choose(box.id)} onKeyDown={key} onFocus={() => element.getGraph().panIntoView(element, { offset: 24, minimumVisible: 60 })}>
      <title>{words}</title>
      <rect className="box" ref={dndDropRef as never} width={width} height={height} rx={8} />
      {(box.kind === "network" || box.kind === "outside") && <path className="bar" d={`M0,8 a8,8 0 0 1 8,-8 H${width - 8} a8,8 0 0 1 8,8 z`} />}
      {near && Icon && <g className="icon" transform={`translate(14, ${middle - 8})`}><Icon /></g>}
      {box.status !== "none" && (block ? <rect className={`dot ${box.status}`} x={14} y={14} width={width - 28} height={height - 28} rx={6} /> : <circle className={`dot ${box.status}`} cx={width - 14} cy={14} r={5} />)}
      {!block && <text aria-hidden x={left} y={near && box.detail ? middle - 3 : middle + text * 0.36} fontSize={text}>{short(box.name, room, text)}</text>}
      {at && <Layer id={TOP_LAYER}><line className="st-drawn" x1={width / 2} y1={height / 2} x2={at.x - box.x} y2={at.y - box.y} /></Layer>}
      {near && box.detail && <text aria-hidden x={left} y={middle + 15} fontSize={12} className="detail">{short(box.detail, room, 12)}</text>}
    </g>
  );
});

const Join = observer(function Join({ element }: { element: GraphElement }) {
  const hand = useContext(HandContext);
  const line = element.getData() as Line;
  const classes = ["st-line", line.up && "up", line.second && "second", hand.selected && [line.from, line.to].includes(hand.selected) && "chosen"].filter(Boolean).join(" ");
  return <polyline className={classes} points={line.points.map((point) => point.join(",")).join(" ")} />;
});

const Ground = withPanZoom()(observer(function Ground({ element, panZoomRef }: { element: GraphElement } & WithPanZoomProps) {
  const hand = useContext(HandContext);
  return <GraphComponent element={element as never} panZoomRef={panZoomRef} onSelect={() => hand.choose(null)} />;
}));

const target = withDndDrop<GraphElement, GraphElement, { canDrop: boolean; hover: boolean }, { element: GraphElement }>({
  accept: LINE,
  canDrop: (from, _monitor, props) => isNode(from) && Boolean((from.getData() as Box | undefined)?.open.includes(props.element.getId())),
  collect: (monitor) => ({ canDrop: monitor.isDragging() && monitor.canDrop(), hover: monitor.isOver() }),
});

const Frame = target(Shape as never) as unknown as ComponentType<Shown>;

export const component = (kind: string, type: string): ComponentType<{ element: GraphElement }> =>
  (kind === "graph" ? Ground : kind === "edge" ? Join : type === "network" || type === "outside" ? Frame : Shape) as ComponentType<{ element: GraphElement }>;
