// A figure as SVG: hover and arrow keys read its points, the legend hides series, and it exports
// itself as SVG, PNG and CSV.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import { download, toCsv } from "./export";
import { formatSI } from "./format";
import { makeScale } from "./scale";
import type { Scale } from "./scale";
import type { Figure, Series } from "./types";

interface Point {
  x: number;
  y: number;
  series: number;
  text: string;
}

const HEIGHT = 380;
// Black and dark grey of a printed figure follow the page's ink.
const INK = new Set(["#000000", "#333333", "#000", "#333"]);

function paint(color: string): string {
  return INK.has(color) ? "var(--ink)" : color;
}

export function list(values: Series["x"] | undefined): number[] {
  return Array.isArray(values) ? values.map((v) => v ?? NaN) : [Number(values)];
}

function stacked(figure: Figure, hidden: Set<number>): Map<number, number[]> {
  const sums = new Map<number, number>();
  const bases = new Map<number, number[]>();
  figure.series.forEach((item, i) => {
    if (item.kind !== "bar" || hidden.has(i)) return;
    const ys = list(item.y);
    bases.set(i, list(item.x).map((x, k) => {
      const base = figure.stacked ? sums.get(x) ?? 0 : 0;
      sums.set(x, base + (ys[k] ?? 0));
      return base;
    }));
  });
  return bases;
}

function pointsOf(figure: Figure, hidden: Set<number>): Point[] {
  return figure.series.flatMap((item, series) => {
    if (hidden.has(series) || item.kind === "text" || item.kind === "band") return [];
    const [xs, ys] = [list(item.x), list(item.y)];
    return xs.map((x, k) => ({ x, y: ys[k] ?? NaN, series, text: item.hover?.[k] ?? tell(figure, item, x, ys[k] ?? NaN) }))
      .filter((p) => Number.isFinite(p.x) && Number.isFinite(p.y));
  });
}

function tell(figure: Figure, item: Series, x: number, y: number): string {
  const across = figure.x.categories[x] ?? `${figure.x.label} ${formatSI(x, figure.x.unit)}`;
  return `${item.name ? `${item.name}: ` : ""}${formatSI(y, figure.y.unit)} at ${across}`;
}

export function Chart({ figure, name }: { figure: Figure; name: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(720);
  const [hidden, setHidden] = useState<Set<number>>(new Set());
  const [shown, setShown] = useState<number | null>(null);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.max(280, Math.round(entry.contentRect.width)));
    });
    if (frame.current) watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  const points = useMemo(() => pointsOf(figure, hidden), [figure, hidden]);
  const geometry = useMemo(() => layout(figure, hidden, width), [figure, hidden, width]);
  const { x, y, left, right, top, bottom } = geometry;
  const marked = shown === null ? undefined : points[Math.min(shown, points.length - 1)];

  const nearest = (event: PointerEvent) => {
    const box = drawing.current!.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let far = 60 ** 2;
    points.forEach((p, i) => {
      const d = (x.at(p.x) - px) ** 2 + (y.at(p.y) - py) ** 2;
      if (d < far) [best, far] = [i, d];
    });
    setShown(best < 0 ? null : best);
  };
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -points.length, End: points.length }[event.key];
    if (step === undefined) {
      if (event.key === "Escape") setShown(null);
      return;
    }
    event.preventDefault();
    setShown((now) => Math.max(0, Math.min(points.length - 1, (now ?? -1) + step)));
  };
  // Unnamed series of the same colour belong to the named one before them.
  const toggle = (i: number) => setHidden((now) => {
    const next = new Set(now);
    const hide = !now.has(i);
    figure.series.forEach((item, k) => {
      if (k === i || (!item.name && item.color === figure.series[i]!.color)) {
        if (hide) next.add(k);
        else next.delete(k);
      }
    });
    return next;
  });
  const named = figure.series.map((item, i) => ({ item, i })).filter(({ item }) => item.name);

  return (
    <figure class="chart" ref={frame}>
      <figcaption>
        <strong>{figure.title}</strong>
        {figure.subtitle && <span class="dim">{figure.subtitle}</span>}
      </figcaption>
      <div class="plot" tabIndex={0} role="group" onKeyDown={keys} onBlur={() => setShown(null)}
           aria-label={`${figure.title}: ${points.length} points; arrow keys read them`}>
        <svg ref={drawing} width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} role="img"
             aria-label={figure.title} onPointerMove={nearest} onPointerLeave={() => setShown(null)}>
          <Grid figure={figure} x={x} y={y} box={geometry} />
          <clipPath id={`clip-${name}`}>
            <rect x={left} y={top - 6} width={right - left} height={bottom - top + 6} />
          </clipPath>
          <g clip-path={`url(#clip-${name})`}>
            {figure.series.map((item, i) => !hidden.has(i) && (
              <Mark key={i} item={item} x={x} y={y} base={geometry.bases.get(i)}
                    slot={geometry.slots.get(i)} />
            ))}
          </g>
          {marked && (
            <circle cx={x.at(marked.x)} cy={y.at(marked.y)} r={7} fill="none" stroke="var(--ink)"
                    stroke-width={2} />
          )}
        </svg>
        {marked && (
          <div class="tip" style={tipPlace(x.at(marked.x), y.at(marked.y), width)}>{marked.text}</div>
        )}
        <div class="hush" aria-live="polite">{marked?.text ?? ""}</div>
      </div>
      <div class="under">
        {named.length > 1 && (
          <div class="legend" role="group" aria-label="Series">
            {named.map(({ item, i }) => (
              <button type="button" key={i} aria-pressed={!hidden.has(i)} onClick={() => toggle(i)}>
                <i style={{ background: paint(item.color) }} class={item.dash ? "dash" : ""} />
                {item.name}
              </button>
            ))}
          </div>
        )}
        <div class="saves" role="group" aria-label={`Save ${figure.title}`}>
          <button type="button" onClick={() => saveSvg(drawing.current!, name)}>SVG</button>
          <button type="button" onClick={() => void savePng(drawing.current!, name)}>PNG</button>
          <button type="button" onClick={() => download(`${name}.csv`, "text/csv", figureCsv(figure))}>CSV</button>
        </div>
      </div>
    </figure>
  );
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

interface Geometry extends Box {
  x: Scale;
  y: Scale;
  bases: Map<number, number[]>;
  slots: Map<number, { offset: number; width: number }>;
}

function layout(figure: Figure, hidden: Set<number>, width: number): Geometry {
  const box = { left: 64, right: width - 14, top: 14, bottom: HEIGHT - (figure.x.categories.length ? 78 : 52) };
  const bases = stacked(figure, hidden);
  const xs: number[] = [];
  const ys: number[] = [];
  let zero = false;
  figure.series.forEach((item, i) => {
    if (hidden.has(i)) return;
    xs.push(...list(item.x));
    if (item.kind === "band") ys.push(...list(item.low ?? []), ...list(item.high ?? []));
    else list(item.y).forEach((v, k) => ys.push(v + (bases.get(i)?.[k] ?? 0)));
    zero ||= item.kind === "bar";
  });
  const nice = !figure.y.log && ys.every((v) => !(v < 0));
  const x = makeScale(figure.x, xs, box.left, box.right, false);
  const y = makeScale(figure.y, ys, box.bottom, box.top, zero || nice);
  return { ...box, x, y, bases, slots: barSlots(figure, hidden, x) };
}

function barSlots(figure: Figure, hidden: Set<number>, x: Scale): Geometry["slots"] {
  const bars = figure.series.map((item, i) => ({ item, i }))
    .filter(({ item, i }) => item.kind === "bar" && !hidden.has(i));
  const places = [...new Set(bars.flatMap(({ item }) => list(item.x)))].sort((a, b) => a - b);
  const gaps = places.slice(1).map((p, i) => Math.abs(x.at(p) - x.at(places[i]!)));
  const room = Math.min(90, 0.72 * (gaps.length ? Math.min(...gaps) : 120));
  const count = figure.stacked ? 1 : Math.max(1, bars.length);
  return new Map(bars.map(({ i }, k) => [i, {
    width: room / count, offset: -room / 2 + (figure.stacked ? 0 : (k * room) / count),
  }]));
}

function Grid({ figure, x, y, box }: { figure: Figure; x: Scale; y: Scale; box: Box }) {
  const turned = figure.x.categories.length > 0;
  return (
    <g class="grid">
      {y.ticks.map(({ value, text }) => (
        <g key={`y${value}`}>
          <line x1={box.left} x2={box.right} y1={y.at(value)} y2={y.at(value)} />
          <text x={box.left - 8} y={y.at(value) + 4} text-anchor="end">{text}</text>
        </g>
      ))}
      {x.ticks.map(({ value, text }) => (
        <g key={`x${value}`}>
          {!turned && <line x1={x.at(value)} x2={x.at(value)} y1={box.top} y2={box.bottom} />}
          <text x={x.at(value)} y={box.bottom + 18} text-anchor={turned ? "end" : "middle"}
                transform={turned ? `rotate(-24 ${x.at(value)} ${box.bottom + 18})` : undefined}>{text}</text>
        </g>
      ))}
      <line class="axis" x1={box.left} x2={box.right} y1={box.bottom} y2={box.bottom} />
      <text class="title" x={(box.left + box.right) / 2} y={HEIGHT - 8} text-anchor="middle">{axisTitle(figure.x)}</text>
      <text class="title" x={14} y={(box.top + box.bottom) / 2} text-anchor="middle"
            transform={`rotate(-90 14 ${(box.top + box.bottom) / 2})`}>{axisTitle(figure.y)}</text>
    </g>
  );
}

function axisTitle(axis: Figure["x"]): string {
  return axis.unit && axis.unit !== "1" ? `${axis.label} [${axis.unit}]` : axis.label;
}

interface MarkProps {
  item: Series;
  x: Scale;
  y: Scale;
  base: number[] | undefined;
  slot: { offset: number; width: number } | undefined;
}

function Mark({ item, x, y, base, slot }: MarkProps): JSX.Element | null {
  const [xs, ys, color] = [list(item.x), list(item.y), paint(item.color)];
  if (item.kind === "text") {
    return <text class="note" x={x.at(xs[0]!)} y={y.at(ys[0]!)} text-anchor="middle">{item.text}</text>;
  }
  if (item.kind === "band") {
    const up = list(item.high ?? []).map((v, i) => `${x.at(xs[i]!)},${y.at(v)}`);
    const down = list(item.low ?? []).map((v, i) => `${x.at(xs[i]!)},${y.at(v)}`).reverse();
    return <polygon points={[...up, ...down].join(" ")} fill={color} opacity={0.18} />;
  }
  if (item.kind === "line") {
    return <path d={path(xs.map(x.at), ys.map(y.at))} fill="none" stroke={color} stroke-width={item.width ?? 2}
                 stroke-dasharray={item.dash ? "6 4" : undefined} stroke-linejoin="round" />;
  }
  if (item.kind === "bar") {
    return (
      <g fill={color}>
        {xs.map((v, i) => {
          const from = y.at(base?.[i] ?? 0) || y.at(y.low);
          const to = y.at((base?.[i] ?? 0) + (ys[i] ?? 0));
          if (!Number.isFinite(to) || !Number.isFinite(from)) return null;
          return <rect key={i} x={x.at(v) + (slot?.offset ?? 0)} width={Math.max(1, slot?.width ?? 8)}
                       y={Math.min(from, to)} height={Math.abs(from - to)} />;
        })}
      </g>
    );
  }
  return (
    <g fill={color} fill-opacity={item.opacity ?? 0.7} stroke={color}>
      {xs.map((v, i) => {
        const [cx, cy] = [x.at(v), y.at(ys[i] ?? NaN)];
        return Number.isFinite(cx) && Number.isFinite(cy) &&
          <circle key={i} cx={cx} cy={cy} r={(item.size ?? 5) / 2 + 0.5} />;
      })}
    </g>
  );
}

function path(xs: number[], ys: number[]): string {
  let pen = false;
  return xs.map((px, i) => {
    const py = ys[i]!;
    if (!Number.isFinite(px) || !Number.isFinite(py)) {
      pen = false;
      return "";
    }
    const step = `${pen ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
    pen = true;
    return step;
  }).join("");
}

function tipPlace(px: number, py: number, width: number): Record<string, string> {
  const top = `${Math.max(0, py - 14)}px`;
  return px > width / 2 ? { top, right: `${width - px + 12}px` } : { top, left: `${px + 12}px` };
}

// The drawing with its colours written out, so that it stands alone.
function standalone(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const inks = getComputedStyle(document.documentElement);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "system-ui, sans-serif");
  copy.setAttribute("font-size", "12");
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = ".grid line{stroke:var(--line)}.grid text,.note{fill:var(--dim)}.axis{stroke:var(--dim)}";
  copy.prepend(style);
  const back = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [k, v] of [["width", "100%"], ["height", "100%"], ["fill", "var(--card)"]] as const) {
    back.setAttribute(k, v);
  }
  copy.prepend(back);
  return new XMLSerializer().serializeToString(copy)
    .replace(/var\((--\w+)\)/g, (_, variable) => inks.getPropertyValue(variable).trim() || "#000");
}

function saveSvg(svg: SVGSVGElement, name: string): void {
  download(`${name}.svg`, "image/svg+xml", standalone(svg));
}

async function savePng(svg: SVGSVGElement, name: string): Promise<void> {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([standalone(svg)], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * svg.clientWidth, 2 * svg.clientHeight];
  const pen = canvas.getContext("2d")!;
  pen.scale(2, 2);
  pen.drawImage(image, 0, 0, svg.clientWidth, svg.clientHeight);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((blob) => blob && download(`${name}.png`, "image/png", blob));
}

function figureCsv(figure: Figure): string {
  const head = ["series", axisTitle(figure.x) || "x", axisTitle(figure.y) || "y"];
  const rows = figure.series.filter((s) => s.kind !== "text" && s.kind !== "band").flatMap((s) => {
    const ys = list(s.y);
    return list(s.x).map((v, i) => [s.name ?? "", figure.x.categories[v] ?? v, ys[i] ?? ""]);
  });
  return toCsv([head, ...rows]);
}
