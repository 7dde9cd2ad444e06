// Numbers that open to where they come from.

import { createContext } from "preact";
import type { ComponentChildren } from "preact";
import { useContext, useEffect, useRef } from "preact/hooks";
import { formatNumber, label } from "./format";
import type { Answer, Definition, Derivation, Quantity, Scalar } from "./types";

export interface Opened {
  name: string;
  answer: Answer;
  quantity: Quantity;
}

export const Opening = createContext<(opened: Opened) => void>(() => undefined);
export const Meanings = createContext<Record<string, Definition>>({});

const BASIS: Record<string, string> = {
  datasheet: "as the maker states it",
  measured: "measured",
  calibrated: "a model fitted to measurements; its interval was checked on measurements it had not seen",
  derived: "follows from the inputs by formula",
  assumed: "an assumption; change it if you know better",
};

export function text(value: Scalar, unit: string): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === null) return "-";
  return typeof value === "number" ? formatNumber(value, unit) : value;
}

export function interval(q: Quantity): string {
  if (q.low == null || q.high == null || q.low === q.high) return "";
  return `${formatNumber(q.low, q.unit)} – ${formatNumber(q.high, q.unit)}`;
}

export function meaningOf(known: Record<string, Definition>, question: string, name: string
): Definition | undefined {
  return known[`${question}.${name}`] ?? known[name];
}

interface NumberProps {
  name: string;
  quantity: Quantity;
  answer: Answer;
  other?: Quantity | undefined;
}

export function NumberCard({ name, quantity, answer, other }: NumberProps) {
  const open = useContext(Opening);
  const shown = text(quantity.value, quantity.unit);
  const range = interval(quantity);
  return (
    <button type="button" class={`number ${typeof quantity.value === "string" ? "wordy" : ""} ${shown.length > 40 ? "sentence" : shown.length > 12 ? "long" : ""}`}
            data-name={name} onClick={() => open({ name, answer, quantity })}
            aria-haspopup="dialog">
      <span class="what">{label(name, quantity.unit)}</span>
      <span class="value">{shown}</span>
      {range && <span class="range"><Whisker q={quantity} />{range}</span>}
      {other && <Against now={quantity} other={other} />}
    </button>
  );
}

// How this number compares with the other scenario's.
function Against({ now, other }: { now: Quantity; other: Quantity }) {
  if (typeof now.value !== "number" || typeof other.value !== "number" || !other.value) return null;
  const factor = now.value / other.value;
  if (!Number.isFinite(factor) || Math.abs(factor - 1) < 0.005) return null;
  return <span class="against">{factor.toPrecision(3)}× the first</span>;
}

// Where the value stands in its interval.
function Whisker({ q }: { q: Quantity }) {
  if (typeof q.value !== "number" || q.low == null || q.high == null) return null;
  const at = (100 * (q.value - q.low)) / (q.high - q.low);
  return <span class="whisker" aria-hidden="true"><i style={{ left: `${at}%` }} /></span>;
}

export function Sheet({ opened, close }: { opened: Opened | null; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (opened && !dialog.current!.open) dialog.current!.showModal();
  }, [opened]);
  return (
    <dialog ref={dialog} class="sheet" onClose={close} aria-labelledby="sheet-title"
            onClick={(e) => e.target === dialog.current && dialog.current?.close()}>
      {opened && <Explained opened={opened} close={() => dialog.current!.close()} />}
    </dialog>
  );
}

function Explained({ opened, close }: { opened: Opened; close: () => void }) {
  const { name, answer, quantity } = opened;
  const known = useContext(Meanings);
  const meaning = meaningOf(known, answer.question, name);
  const related = relatedTo(name, quantity, answer);
  const terms = meaning?.formula ? termsOf(meaning.formula, answer) : [];
  return (
    <div class="explained">
      <header>
        <h2 id="sheet-title">{label(name, quantity.unit)}</h2>
        <button type="button" class="close" onClick={close} aria-label="Close">×</button>
      </header>
      <p class="big">{text(quantity.value, quantity.unit)}</p>
      {meaning && <p>{meaning.meaning}</p>}
      <dl>
        {interval(quantity) && <Pair term="80 % interval">{interval(quantity)}</Pair>}
        {typeof quantity.value === "number" && <Pair term="in full">{`${quantity.value} ${quantity.unit === "1" ? "" : quantity.unit}`}</Pair>}
        {quantity.basis && <Pair term="basis">{`${quantity.basis}: ${BASIS[quantity.basis] ?? ""}`}</Pair>}
        <Pair term="JSON key"><code>{name}</code></Pair>
      </dl>
      {meaning?.formula && (
        <section>
          <h3>Arithmetic</h3>
          <p class="formula"><code>{name} = {meaning.formula}</code></p>
          <dl>{terms.map((t) => <Pair key={t.name} term={t.name}>{t.text}</Pair>)}</dl>
        </section>
      )}
      {related.map((d) => <Shown key={d.name + d.title} derivation={d} />)}
      {answer.notes.length > 0 && (
        <section><h3>Notes of this answer</h3><ul>{answer.notes.map((n) => <li key={n}>{n}</li>)}</ul></section>
      )}
    </div>
  );
}

function Pair({ term, children }: { term: string; children: ComponentChildren }) {
  return <><dt>{term}</dt><dd>{children}</dd></>;
}

// The derivations of this very number where there are such, else all of the answer's.
function relatedTo(name: string, quantity: Quantity, answer: Answer): Derivation[] {
  const same = answer.derivation.filter((d) => typeof quantity.value === "number"
    && typeof d.result.value === "number" && d.result.unit === quantity.unit
    && Math.abs(d.result.value - quantity.value) <= 1e-6 * Math.abs(quantity.value));
  if (same.length) return same;
  const parts = name.split("_").filter((part) => part.length > 2);
  const score = (d: Derivation) => parts.filter((part) =>
    `${d.name} ${d.title}`.toLowerCase().includes(part)).length;
  const most = Math.max(0, ...answer.derivation.map(score));
  return answer.derivation.filter((d) => score(d) === most);
}

function flatScenario(scenario: Record<string, unknown>): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(scenario)) {
    if (value && typeof value === "object" && !Array.isArray(value)) {
      Object.assign(flat, flatScenario(value as Record<string, unknown>));
    } else flat[key] = value;
  }
  return flat;
}

function termsOf(formula: string, answer: Answer): { name: string; text: string }[] {
  const given = flatScenario(answer.scenario);
  const names = [...new Set(formula.match(/[a-z_][a-z_0-9]*/g) ?? [])];
  return names.flatMap((name) => {
    const q = answer.answer[name];
    if (q) return [{ name, text: text(q.value, q.unit) }];
    if (given[name] !== undefined) return [{ name, text: `${String(given[name])} (asked)` }];
    return [];
  });
}

export function Shown({ derivation: d }: { derivation: Derivation }) {
  return (
    <section class="derivation">
      <h3>{d.title}</h3>
      <p class="formula"><code>{d.formula}</code></p>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Values of ${d.title}`}>
        <table>
          <thead><tr><th>symbol</th><th>value</th><th>meaning</th><th>basis and source</th></tr></thead>
          <tbody>
            {d.inputs.map((i) => (
              <tr key={i.name}>
                <th scope="row"><code>{i.symbol}</code></th>
                <td class="right">{(Array.isArray(i.value) ? i.value : [i.value]).map((v) => text(v, i.unit)).join(", ")}</td>
                <td>{i.meaning}</td>
                <td>{i.basis}{i.source && `: ${i.source}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p>Result: <strong>{text(d.result.value, d.result.unit)}</strong> {interval(d.result) && `(${interval(d.result)})`}</p>
      {d.valid_for && <p class="dim">Valid for: {d.valid_for}</p>}
      {d.sources.map((s) => <p class="dim" key={s}>Source: {s}</p>)}
    </section>
  );
}
