// The roofline with roofs of further chips and formats laid over it.

import { useEffect, useState } from "preact/hooks";
import { get } from "../api";
import { useAnswer } from "../ask";
import { AnswerView } from "../answer";
import { Chart, list } from "../chart";
import { words } from "../format";
import { Form } from "../controls";
import { ownFields, valuesFor } from "../panel";
import type { PanelProps } from "../panel";
import type { Answer, Field, Figure, Series } from "../types";

interface ChipEntry {
  name: string;
  peaks: Record<string, number>;
  memory: { bandwidth_bytes_per_s: number };
}

const COLORS = ["#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#44aa99"];
const OVERLAY: Field = {
  name: "overlay", kind: "list", item: "text", default: "further chips", required: false, choices: [], section: "",
  text: "Further chips whose roofs are drawn, such as H200-SXM, B200-SXM.",
};
const FORMATS: Field = { ...OVERLAY, name: "formats", default: "bf16, fp8", text: "Formats whose roofs are drawn for every chip, such as bf16, fp8." };

function useChips(names: string[]): { chips: ChipEntry[]; error: string } {
  const [found, setFound] = useState<{ chips: ChipEntry[]; error: string }>({ chips: [], error: "" });
  const key = names.join(",");
  useEffect(() => {
    let current = true;
    Promise.all(names.map((n) => get<{ entry: ChipEntry }>(`/api/catalog/chips/${encodeURIComponent(n)}`)))
      .then((all) => current && setFound({ chips: all.map((e) => e.entry), error: "" }))
      .catch((e: Error) => current && setFound({ chips: [], error: e.message }));
    return () => { current = false; };
  }, [key]);
  return found;
}

export function roofs(figure: Figure, chips: ChipEntry[], formats: string[]): Series[] {
  const xs = figure.series.flatMap((s) => list(s.x)).filter((v) => v > 0);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  let next = 0;
  return chips.flatMap((chip) => formats.flatMap((format) => {
    const peak = chip.peaks[`${format}_flop_per_s`];
    if (!peak) return [];
    const band = chip.memory.bandwidth_bytes_per_s;
    const x = [low, peak / band, Math.max(high, (peak / band) * 2)].sort((a, b) => a - b);
    const color = COLORS[next++ % COLORS.length]!;
    return [{ kind: "line" as const, x, y: x.map((i) => Math.min(peak, i * band)), dash: format !== formats[0],
      name: `${chip.name} ${format}`, color, width: 1.5 }];
  }));
}

export function RooflineView(props: PanelProps) {
  const { world, a, b, own, set } = props;
  const question = world.questions["roofline"]!;
  const values = valuesFor("roofline", question, a, own);
  const split = (text: string | undefined) => (text ?? "").split(",").map((t) => t.trim()).filter(Boolean);
  const { chips, error } = useChips(split(own["overlay"]));
  const formats = split(own["formats"]);
  const overlay = (answer: Answer) => answer.figures?.map((figure, i) => {
    const over = roofs(figure, chips, formats.length ? formats : ["bf16", "fp8"]);
    return <Chart key={i} figure={{ ...figure, series: [...figure.series, ...over] }} name={`roofline-${i + 1}`} />;
  });
  return (
    <section class="panel" data-panel="roofline">
      <h2>{question.title} <span class="dim">{question.text}</span></h2>
      <div class="settings" role="group" aria-label={`Settings of ${words("roofline")}`}>
        <Form fields={[...ownFields("roofline", question), OVERLAY, FORMATS]} values={own} world={world} set={set} />
      </div>
      {error && <p class="error" role="alert">{error}</p>}
      <div class={b ? "pair" : ""}>
        <One question={question} values={values} lead={overlay} />
        {b && <One question={question} values={valuesFor("roofline", question, b, own)} lead={overlay} />}
      </div>
    </section>
  );
}

function One({ question, values, lead }: { question: PanelProps["world"]["questions"][string]; values: Record<string, string>; lead: (a: Answer) => unknown }) {
  const { answer, error, busy } = useAnswer("roofline", question, values);
  return (
    <div class={`result ${busy ? "busy" : ""}`} aria-busy={busy}>
      {error && <p class="error" role="alert">{error}</p>}
      {!answer && !error && <p class="empty" role="status">Asking…</p>}
      {answer && !error && <AnswerView answer={answer} figures={false} lead={lead(answer) as never} />}
    </div>
  );
}
