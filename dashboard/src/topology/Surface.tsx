import { SearchInput } from "@patternfly/react-core";
import {
  action, createTopologyControlButtons, defaultControlButtonsOptions, GRAPH_AREA_DRAGGING_EVENT, type Model, TopologyControlBar, TopologyView, Visualization, VisualizationProvider, VisualizationSurface,
} from "@patternfly/react-topology";
import { type ReactNode, useEffect, useMemo, useRef } from "react";
import { count, number, t } from "../language";
import { component, CONNECT, HandContext, matches } from "./elements";
import type { Drawing } from "./layout";

const STEP = 4 / 3;
const PADDING = 88;
/** Below these scales first the addresses aren't shown, then the servers' names. */
const DETAILS = { medium: 0.7, low: 0.42 };
/** Until then (milliseconds) the side panel is open and the surface knows what is left to it. */
const OPENED = 400;
/** From so many boxes on, there is something to search in. */
const MANY = 8;

function model(drawing: Drawing, write: boolean): Model {
  return {
    graph: { id: "topology", type: "graph", scaleExtent: [0.1, 3] },
    nodes: drawing.boxes.map((box) => ({ id: box.id, type: box.kind, label: box.name, x: box.x, y: box.y, width: box.width, height: box.height, data: write ? box : { ...box, open: [] } })),
    edges: drawing.lines.map((line) => ({ id: line.id, type: "line", source: line.from, target: line.to, data: line })),
  };
}

/** The drawing on PatternFly's surface: moved, zoomed, searched. It is fitted into the page until somebody moves it. */
export function Surface({ drawing, whole, selected, choose, search, setSearch, connect, write, side }: {
  drawing: Drawing; /** Whether all servers are known. */ whole: boolean; selected: string | null; choose: (id: string | null) => void; search: string; setSearch: (text: string) => void; connect: (from: string, to: string) => void; write: boolean; side: ReactNode;
}) {
  const moved = useRef(false);
  const sought = useRef<string | null>(null);
  const holder = useRef<HTMLDivElement>(null);
  const connects = useRef(connect);
  connects.current = connect;
  const controller = useMemo(() => {
    const made = new Visualization();
    made.registerComponentFactory(component as never);
    made.setRenderConstraint(false);
    made.fromModel({ graph: { id: "topology", type: "graph" } });
    made.getGraph().setDetailsLevelThresholds(DETAILS);
    made.addEventListener(CONNECT, (from: string, to: string) => connects.current(from, to));
    made.addEventListener(GRAPH_AREA_DRAGGING_EVENT, ({ isDragging }: { isDragging: boolean }) => { moved.current ||= isDragging; });
    return made;
  }, []);
  const fit = useMemo(() => action(() => {
    const graph = controller.getGraph();
    graph.setScale(1);
    graph.fit(PADDING);
  }), [controller]);
  const by = (factor: number) => action(() => {
    moved.current = true;
    controller.getGraph().scaleBy(factor);
  });
  useEffect(() => {
    controller.fromModel(model(drawing, write));
    if (!moved.current) fit();
  }, [controller, drawing, fit, write]);
  useEffect(() => {
    const seen = new ResizeObserver(() => setTimeout(() => !moved.current && fit(), 120));
    if (holder.current) seen.observe(holder.current);
    return () => seen.disconnect();
  }, [fit]);
  useEffect(() => {
    const node = selected ? controller.getNodeById(selected) : undefined;
    const timer = node && setTimeout(action(() => {
      const graph = controller.getGraph();
      if (sought.current === selected) graph.centerInView(node);
      else graph.panIntoView(node, { offset: 24, minimumVisible: 60 });
      sought.current = null;
    }), OPENED);
    return () => clearTimeout(timer);
  }, [controller, selected]);
  const wanted = search.trim().toLowerCase();
  const found = drawing.boxes.filter((box) => matches(box, wanted));
  const drawn = drawing.boxes.filter((box) => box.kind === "server").length;
  const show = action(() => {
    const node = found[0] && controller.getNodeById(found[0].id);
    if (!node) return;
    moved.current = true;
    const graph = controller.getGraph();
    if (graph.getScale() < 0.8) graph.setScale(0.8);
    graph.centerInView(node);
    sought.current = node.getId();
    choose(node.getId());
  });
  const buttons = createTopologyControlButtons({
    ...defaultControlButtonsOptions, resetView: false, legend: false,
    zoomInTip: t("Zoom in"), zoomInAriaLabel: t("Zoom in"), zoomInCallback: by(STEP), zoomOutTip: t("Zoom out"), zoomOutAriaLabel: t("Zoom out"), zoomOutCallback: by(1 / STEP),
    fitToScreenTip: t("Show everything"), fitToScreenAriaLabel: t("Show everything"), fitToScreenCallback: () => { moved.current = false; fit(); },
  });
  return (
    <HandContext.Provider value={{ selected, choose, wanted }}>
      <VisualizationProvider controller={controller}>
        <div ref={holder} className="st-topology" role="group" aria-label={t("Topology")} onWheelCapture={() => { moved.current = true; }}>
          <TopologyView controlBar={<TopologyControlBar controlButtons={buttons} />} sideBar={side} sideBarOpen={Boolean(side)}
            viewToolbar={drawing.boxes.length > MANY && <>
              <SearchInput className="st-find" aria-label={t("Find in the drawing")} placeholder={t("Find a name or address")} value={search} resultsCount={wanted ? number(found.length) : undefined}
                onChange={(_event, value) => setSearch(value)} onClear={() => setSearch("")} onSearch={show} />
              {!whole ? <span className="st-muted" role="status">{count("{{number}} server so far; the others are on their way.", "{{number}} servers so far; the others are on their way.", drawn + drawing.hidden)}</span>
                : drawing.hidden > 0 && <span className="st-muted" role="status">{t("{{drawn}} of {{all}} servers are drawn; find others by name or address.", { drawn, all: drawn + drawing.hidden })}</span>}
            </>}>
            <VisualizationSurface />
          </TopologyView>
        </div>
      </VisualizationProvider>
    </HandContext.Provider>
  );
}
