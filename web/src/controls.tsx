// Controls made from a question's fields.

import { useId } from "preact/hooks";
import { parseNumber, words } from "./format";
import type { Field, Fields, World } from "./types";

const FORMATS = new Set(["weights", "experts", "kv", "compute", "precision", "formats", "quant"]);
// Fields worth a slider: ends of its logarithmic range.
const SLIDES: Record<string, [number, number]> = {
  prompt: [1, 1e6], output: [1, 1e5], concurrency: [1, 4096], rate: [0.01, 1000],
};

interface Props {
  field: Field;
  value: string;
  world: World;
  set: (value: string) => void;
}

export function Control({ field, value, world, set }: Props) {
  const id = useId();
  const shown = Array.isArray(field.default) ? field.default.join(",") : String(field.default ?? "");
  if (field.kind === "flag") {
    return (
      <label class="control flag" title={field.text}>
        <input type="checkbox" name={field.name} checked={(value || shown) === "true"}
               onChange={(e) => set(String(e.currentTarget.checked))} />
        <span>{words(field.name)}</span>
      </label>
    );
  }
  const choices = field.choices.length && field.kind === "text" ? field.choices
    : field.name === "engine" ? world.engines : null;
  const slide = field.kind === "whole" || field.name === "rate" ? SLIDES[field.name] : undefined;
  return (
    <div class={`control ${field.name === "claim" ? "wide" : ""}`}>
      <label for={id} title={field.text}>{words(field.name)}{field.required && <span aria-hidden="true"> *</span>}</label>
      {choices ? (
        <select id={id} name={field.name} value={value || shown} onChange={(e) => set(e.currentTarget.value)}>
          {!shown && <option value="">automatic</option>}
          {choices.map((c) => <option key={c} value={c}>{c}</option>)}
        </select>
      ) : field.text.length > 0 && field.name === "claim" ? (
        <textarea id={id} name={field.name} rows={3} value={value} onInput={(e) => set(e.currentTarget.value)} />
      ) : (
        <input id={id} name={field.name} type="text" autocomplete="off" spellcheck={false} value={value}
               inputMode={field.kind === "number" || field.kind === "whole" ? "decimal" : "text"}
               placeholder={shown || (field.required ? "" : "automatic")} required={field.required}
               list={listOf(field)} onInput={(e) => set(e.currentTarget.value)} />
      )}
      {slide && (
        <input type="range" aria-label={`${words(field.name)} slider`} min={0} max={100} step={0.5}
               value={position(value || shown, slide)} aria-valuetext={value || shown}
               onInput={(e) => set(valueAt(Number(e.currentTarget.value), slide, field.kind === "whole"))} />
      )}
    </div>
  );
}

function listOf(field: Field): string | undefined {
  if (field.name === "model" || field.name === "models" || field.name === "draft") return "known-models";
  if (["machine", "chip", "chips", "machines"].includes(field.name)) return "known-chips";
  return FORMATS.has(field.name) ? "known-formats" : undefined;
}

function position(value: string, [low, high]: [number, number]): number {
  const number = Math.min(high, Math.max(low, parseNumber(value) || low));
  return (100 * Math.log(number / low)) / Math.log(high / low);
}

function valueAt(at: number, [low, high]: [number, number], whole: boolean): string {
  const value = low * (high / low) ** (at / 100);
  const rounded = Number(value.toPrecision(2));
  return String(whole ? Math.max(1, Math.round(rounded)) : rounded);
}

export function Lists({ world }: { world: World }) {
  const list = (id: string, names: string[]) => (
    <datalist id={id}>{names.map((n) => <option key={n} value={n} />)}</datalist>
  );
  return <>{list("known-models", world.models)}{list("known-chips", world.chips)}{list("known-formats", world.formats)}</>;
}

interface FormProps {
  fields: Field[];
  values: Fields;
  world: World;
  set: (name: string, value: string) => void;
}

export function Form({ fields, values, world, set }: FormProps) {
  return (
    <div class="form">
      {fields.map((f) => (
        <Control key={f.name} field={f} world={world} value={values[f.name] ?? ""}
                 set={(value) => set(f.name, value)} />
      ))}
    </div>
  );
}

const FIRST = ["model", "machine", "weights", "engine", "prompt", "output", "concurrency"];

// The scenario that every view shares: what matters most in sight, the rest behind a fold.
export function ScenarioBar({ title, fields, values, world, set }: FormProps & { title: string }) {
  const [main, more] = [FIRST.flatMap((n) => fields.find((f) => f.name === n) ?? []),
    fields.filter((f) => !FIRST.includes(f.name))];
  const changed = more.filter((f) => values[f.name]).map((f) => `${words(f.name)} ${values[f.name]}`);
  const groups = ["deployment", "workload", "training"].map((section) =>
    ({ section, inside: more.filter((f) => f.section === section) })).filter((g) => g.inside.length);
  return (
    <section class="scenario" aria-label={title}>
      <Form fields={main} values={values} world={world} set={set} />
      <details>
        <summary>More of the scenario{changed.length > 0 && <span class="dim"> ({changed.join(", ")})</span>}</summary>
        {groups.map(({ section, inside }) => (
          <fieldset key={section}>
            <legend>{words(section)}</legend>
            <Form fields={inside} values={values} world={world} set={set} />
          </fieldset>
        ))}
      </details>
    </section>
  );
}
