// One question of a view: its own settings, its answer for each scenario.

import type { ComponentChildren } from "preact";
import { AnswerView } from "./answer";
import { missing, useAnswer } from "./ask";
import type { Asking } from "./ask";
import { Form } from "./controls";
import { words } from "./format";
import type { Answer, Field, Fields, Question, World } from "./types";

// Settings that a question opens with where it has no defaults of its own.
export const EXAMPLES: Record<string, Fields> = {
  train: { tokens: "2T", machine: "1024xH100-SXM", search: "true" },
  fit_training: { machine: "8xH100-SXM", zero: "3", tp: "1" },
  scale: { compute: "8.4e23" },
  matmul: { d_in: "8192", d_out: "28672" },
  simulate: { rate: "1", ttft: "5", tpot: "0.05" },
  capacity: { tpot: "0.05", requests: "500", precision: "0.05" },
  plan: { on: "16xH100-SXM, 16xH200, 8xB200", ttft: "2", tpot: "0.03" },
  queue: { rate: "5", service: "0.15" },
  diagnose: { tpot: "0.04" },
  infer_price: { input_usd: "3", output_usd: "15", cached_usd: "0.3", on: "H100-SXM", active_params: "100B" },
  retrieve: { docs: "10M", dim: "1024", index: "hnsw" },
  think: { samples: "16", tokens: "2000", success_rate: "0.3" },
  demand: { users: "1M" },
  rack: { rack: "NVL72" },
  fleet: { fleet: "100000xH100-SXM, 20000xB200-SXM" },
  check: { claim: "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16" },
  exercise: { name: "3" },
};
// Fields that a question keeps for itself although the scenario has them.
const OWN: Record<string, string[]> = {
  train: ["machine", "tp", "pp", "dp", "cp", "ep", "zero", "recompute", "optimizer", "seq", "micro_batch"],
  fit_training: ["machine", "tp", "pp", "dp", "ep", "zero", "recompute", "optimizer", "seq", "micro_batch",
    "adapter_rank", "microbatches"],
  check: ["model", "machine", "weights", "prompt", "context"],
  exercise: ["machine"],
};
const HIDDEN = new Set(["advice", "explain", "skip_bad", "sort"]);

// Names that the shared scenario gives to every question that takes them.
const shared = new Set<string>();

export function share(fields: Field[]): void {
  fields.forEach((f) => shared.add(f.name));
}

export function ownFields(name: string, question: Question): Field[] {
  const kept = OWN[name] ?? [];
  return question.fields.filter((f) => !HIDDEN.has(f.name) && (kept.includes(f.name) || !shared.has(f.name)));
}

export function valuesFor(name: string, question: Question, scenario: Fields, own: Fields): Fields {
  const mine = new Set(ownFields(name, question).map((f) => f.name));
  const given = Object.fromEntries(Object.entries(scenario).filter(([k]) => !mine.has(k)));
  return { ...given, ...EXAMPLES[name], ...own };
}

export function usesScenario(name: string, question: Question | undefined): boolean {
  const kept = OWN[name] ?? [];
  return !!question?.fields.some((f) => (f.name === "model" || f.name === "machine") && !kept.includes(f.name));
}

export interface PanelProps {
  name: string;
  world: World;
  a: Fields;
  b: Fields | null;
  own: Fields;
  set: (field: string, value: string) => void;
  lead?: (answer: Answer) => ComponentChildren;
  figures?: boolean;
  heading?: boolean;
}

export function Panel(props: PanelProps) {
  const { name, world, own, set, a, b } = props;
  const question = world.questions[name]!;
  const fields = ownFields(name, question);
  const shown = { ...EXAMPLES[name], ...own };
  const needed = fields.filter((f) => f.required || FRONT.has(f.name) || EXAMPLES[name]?.[f.name] !== undefined);
  const rest = fields.filter((f) => !needed.includes(f));
  const few = needed.length + rest.length <= 8;
  return (
    <section class="panel" data-panel={name}>
      {props.heading !== false && <h2>{question.title} <span class="dim">{question.text}</span></h2>}
      {fields.length > 0 && (
        <div class="settings" role="group" aria-label={`Settings of ${words(name)}`}>
          <Form fields={few ? fields : needed} values={shown} world={world} set={set} />
          {!few && rest.length > 0 && (
            <details><summary>More settings</summary>
              <Form fields={rest} values={shown} world={world} set={set} />
            </details>
          )}
        </div>
      )}
      <Answers {...props} question={question} values={valuesFor(name, question, a, own)}
               second={b && usesScenario(name, question) ? valuesFor(name, question, b, own) : null} />
    </section>
  );
}

const FRONT = new Set(["ideal", "rate", "requests", "trace", "seeds", "ttft", "tpot", "compute",
  "params", "tokens", "law", "inference_tokens", "batch_tokens", "seq", "claim", "on", "minimize", "users",
  "budget", "precision", "search", "utilisation", "usd_per_hour", "speed", "docs", "dim", "index",
  "compression", "queries", "embedder", "fleet", "until", "pue", "watts", "grams_per_kwh", "find",
  "service", "servers", "samples", "strategy", "success_rate", "verifier", "against", "users", "peak", "token_rate",
  "active_share", "rack", "chips", "racks", "output_rate", "name", "given", "answer", "part", "names", "years"]);

type AnswersProps = PanelProps & { question: Question; values: Fields; second: Fields | null };

function Answers({ name, question, values, second, lead, figures }: AnswersProps) {
  const first = useAnswer(name, question, missing(question.fields, values).length ? null : values);
  const other = useAnswer(name, question,
    second && !missing(question.fields, second).length ? second : null);
  const lacking = missing(question.fields, values);
  if (lacking.length) {
    return <p class="empty">Give {lacking.map(words).join(", ")} to ask this question.</p>;
  }
  return (
    <div class={second ? "pair" : ""}>
      <Result asking={first} lead={lead} figures={figures} title={second ? "First" : ""} />
      {second && <Result asking={other} first={first.answer} lead={lead} figures={figures} title="Second" />}
    </div>
  );
}

interface ResultProps {
  asking: Asking;
  first?: Answer | undefined;
  lead?: ((answer: Answer) => ComponentChildren) | undefined;
  figures?: boolean | undefined;
  title: string;
}

export function Result({ asking, first, lead, figures, title }: ResultProps) {
  const { answer, error, busy, progress, cancel } = asking;
  return (
    <div class={`result ${busy ? "busy" : ""}`} aria-busy={busy}>
      {title && <h3 class="which">{title}</h3>}
      {error && <p class="error" role="alert">{error}</p>}
      {busy && progress && (
        <div class="progress">
          <progress {...(progress.share === null ? {} : { value: progress.share })} aria-label="Progress" />
          <span>{progress.text || "working"}, {progress.elapsed_s.toFixed(1)} s</span>
          <button type="button" onClick={cancel}>Cancel</button>
        </div>
      )}
      {!answer && !error && !progress && <p class="empty" role="status">Asking…</p>}
      {answer && !error && (
        <AnswerView answer={answer} first={first} lead={lead?.(answer)} {...(figures === undefined ? {} : { figures })} />
      )}
    </div>
  );
}
