// Tokens for each user against tokens for each chip, or dollars: one line a machine, one point a
// number of requests in flight.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ask, get } from "../api";
import { bodyOf } from "../ask";
import { Chart } from "../chart";
import { Form } from "../controls";
import { formatSI, parseNumber } from "../format";
import type { PanelProps } from "../panel";
import type { Answer, Field, Figure, Series } from "../types";

interface Point {
  machine: string;
  concurrency: number;
  user: number;
  chip: number;
  ttft: number;
  usd: number | null;
  answer: Answer;
}

const STEPS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const plain = { item: "", default: "", required: false, choices: [] as string[], section: "" };
const FIELDS: Field[] = [
  { ...plain, name: "machines", kind: "list", text: "Machines to draw, such as 8xH100-SXM, 8xB200-SXM." },
  { ...plain, name: "against", kind: "text", default: "tokens", choices: ["tokens", "dollars"], text: "What the upright axis shows, for each chip or each million output tokens." },
  { ...plain, name: "tpot", kind: "number", default: "no target", text: "Target: time per output token [s]; drawn as a line." },
  { ...plain, name: "ttft", kind: "number", default: "no target", text: "Target: time to first token [s]; points that miss it are left out." },
];

async function rent(machine: string): Promise<number | null> {
  const chip = machine.replace(/^(\d+x)+/, "");
  const { entry } = await get<{ entry: { rent?: { usd_per_hour_low?: number; usd_per_hour_high?: number } } }>(
    `/api/catalog/chips/${encodeURIComponent(chip)}`);
  const { usd_per_hour_low: low, usd_per_hour_high: high } = entry.rent ?? {};
  return low !== undefined && high !== undefined ? (low + high) / 2 : low ?? high ?? null;
}

function pointOf(machine: string, concurrency: number, answer: Answer, price: number | null): Point {
  const value = (name: string) => Number(answer.answer[name]?.value);
  const chip = value("output_tokens_per_s_per_chip");
  return { machine, concurrency, answer, chip, user: 1 / value("tpot_s"), ttft: value("ttft_s"),
    usd: price === null ? null : (price / 3600 / chip) * 1e6 };
}

export function FrontierView({ world, a, b, own, set }: PanelProps) {
  const question = world.questions["estimate"]!;
  const [points, setPoints] = useState<Point[]>([]);
  const [state, setState] = useState({ done: 0, total: 0, errors: [] as string[] });
  const machines = (own["machines"] ?? [a["machine"], b?.["machine"] ?? "8xB200-SXM"].join(","))
    .split(",").map((m) => m.trim()).filter(Boolean).slice(0, 6);
  const key = JSON.stringify([bodyOf(question.fields, { ...a, machine: "", concurrency: "" }), machines]);
  useEffect(() => {
    const control = new AbortController();
    const found: Point[] = [];
    const errors: string[] = [];
    let done = 0;
    setState({ done: 0, total: machines.length * STEPS.length, errors: [] });
    const one = async (machine: string) => {
      const price = await rent(machine).catch(() => null);
      for (const concurrency of STEPS) {
        const body = bodyOf(question.fields, { ...a, machine, concurrency: String(concurrency) });
        try {
          const answer = await ask("estimate", { ...body, advice: false }, control.signal, "");
          found.push(pointOf(machine, concurrency, answer, price));
        } catch (error) {
          if (control.signal.aborted) return;
          if (!errors.some((e) => e.startsWith(machine))) errors.push(`${machine}: ${(error as Error).message}`);
        }
        done += 1;
        setPoints([...found]);
        setState({ done, total: machines.length * STEPS.length, errors: [...errors] });
      }
    };
    void Promise.all(machines.map(one));
    return () => control.abort();
  }, [key]);
  const figure = useMemo(() => draw(points, machines, own), [points, own]);
  const busy = state.done < state.total;
  return (
    <section class="panel" data-panel="frontier">
      <h2>What can be traded? <span class="dim">Speed for each user against output for each chip, at every load</span></h2>
      <div class="settings" role="group" aria-label="Settings of the frontier">
        <Form fields={FIELDS} values={{ machines: machines.join(", "), ...own }} world={world} set={set} />
      </div>
      {state.errors.map((e) => <p class="error" role="alert" key={e}>{e}</p>)}
      <div class={`result ${busy ? "busy" : ""}`} aria-busy={busy}>
        {busy && <div class="progress"><progress value={state.done / Math.max(1, state.total)} aria-label="Progress" /><span>{state.done} of {state.total} deployments</span></div>}
        {points.length > 0 ? <Chart figure={figure} name="frontier" /> : !busy && <p class="empty">No machine answers this scenario.</p>}
      </div>
    </section>
  );
}

function draw(points: Point[], machines: string[], own: Record<string, string>): Figure {
  const dollars = own["against"] === "dollars";
  const [most, slowest] = [parseNumber(own["ttft"] ?? ""), parseNumber(own["tpot"] ?? "")];
  const shown = points.filter((p) => !(p.ttft > most) && (!dollars || p.usd !== null));
  const series: Series[] = machines.map((machine, i) => {
    const mine = shown.filter((p) => p.machine === machine).sort((p, q) => p.concurrency - q.concurrency);
    return { kind: "line" as const, name: machine, color: COLORS[i % COLORS.length]!, x: mine.map((p) => p.user),
      y: mine.map((p) => (dollars ? p.usd : p.chip)), hover: mine.map(told) };
  }).filter((s) => s.x.length);
  const dots: Series[] = series.map((s) => ({ ...s, kind: "scatter", name: "", size: 8, opacity: 1 }));
  const ys = series.flatMap((s) => s.y as number[]);
  if (slowest > 0 && ys.length) {
    series.push({ kind: "line", name: `target ${formatSI(slowest, "s")} a token`, color: "#333333", dash: true,
      x: [1 / slowest, 1 / slowest], y: [Math.min(...ys), Math.max(...ys)] });
  }
  return {
    title: dollars ? "Speed against cost" : "Speed against output", stacked: false,
    subtitle: "each point is a number of requests in flight; rent is the mean of the market",
    x: axis("speed for each user", "token/s"),
    y: dollars ? axis("cost of a million output tokens", "USD", true) : axis("output of each chip", "token/s", true),
    series: [...series, ...dots],
  };
}

function told(p: Point): string {
  const plan = p.answer.scenario["deployment"] as Record<string, unknown> | undefined;
  const laid = Object.entries(plan ?? {}).map(([k, v]) => `${k} ${String(v)}`).join(", ");
  return `${p.machine}, ${p.concurrency} in flight: ${formatSI(p.user, "token/s")} a user, ${formatSI(p.chip, "token/s")} a chip, TTFT ${formatSI(p.ttft, "s")}${p.usd === null ? "" : `, ${formatSI(p.usd, "USD/Mtok")}`}${laid ? ` (${laid})` : ""}`;
}

function axis(label: string, unit: string, log = false): Figure["x"] {
  return { label, unit, log, low: null, high: null, categories: [] };
}
