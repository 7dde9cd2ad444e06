// An answer: what limits, numbers, figures, tables, notes, and the same question elsewhere.

import { useContext, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { Chart } from "./chart";
import { answerCsv, download, tableCsv } from "./export";
import { words } from "./format";
import { NumberCard, Opening, Shown, interval, text } from "./numbers";
import type { Answer, Calls, Cell, Quantity, Table } from "./types";
import { isQuantity } from "./types";

interface Props {
  answer: Answer;
  first?: Answer | undefined;
  lead?: ComponentChildren;
  figures?: boolean;
}

export function AnswerView({ answer, first, lead, figures = true }: Props) {
  const { bound, ...rest } = answer.answer;
  // Some answers carry whole records beside their numbers; those are in the tables.
  const numbers = Object.entries(rest).filter(([, q]) => isQuantity(q) && (q.value === null || typeof q.value !== "object"));
  const waits = numbers.filter(([name]) => SPREAD.test(name));
  const single = numbers.filter(([name]) => !SPREAD.test(name));
  const sorted = [...answer.tables].sort((a, b) => Number(a.name === "levers") - Number(b.name === "levers"));
  return (
    <div class="answer" data-question={answer.question}>
      {bound && <p class="bound">{String(bound.value)}</p>}
      {lead}
      <div class="numbers">
        {single.map(([name, quantity]) => (
          <NumberCard key={name} name={name} quantity={quantity} answer={answer}
                      other={first?.answer[name]} />
        ))}
      </div>
      {waits.length > 0 && <Spreads waits={waits} answer={answer} />}
      {figures && answer.figures?.map((figure, i) => (
        <Chart key={i} figure={figure} name={`${answer.question}-${i + 1}${first ? "-b" : ""}`} />
      ))}
      {sorted.map((table) => <TableView key={table.name} table={table} answer={answer} />)}
      {answer.notes.length > 0 && <ul class="notes">{answer.notes.map((n) => <li key={n}>{n}</li>)}</ul>}
      {answer.derivation.length > 0 && (
        <details>
          <summary>How these numbers came about</summary>
          {answer.derivation.map((d) => <Shown key={d.name + d.title} derivation={d} />)}
        </details>
      )}
      <Elsewhere answer={answer} />
    </div>
  );
}

// Mean and percentiles of one measure, which read best as a row.
const SPREAD = /^(.+)_(mean|p50|p90|p95|p99)_s$/;

function Spreads({ waits, answer }: { waits: [string, Quantity][]; answer: Answer }) {
  const open = useContext(Opening);
  const measures = [...new Set(waits.map(([name]) => SPREAD.exec(name)![1]!))];
  const parts = [...new Set(waits.map(([name]) => SPREAD.exec(name)![2]!))];
  const known = new Map(waits);
  return (
    <section class="table spreads">
      <h3>What users wait</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label="What users wait">
        <table>
          <thead><tr><th scope="col">measure</th>{parts.map((p) => <th key={p} scope="col" class="right">{p}</th>)}</tr></thead>
          <tbody>
            {measures.map((m) => (
              <tr key={m}>
                <th scope="row">{words(m)}</th>
                {parts.map((p) => {
                  const name = `${m}_${p}_s`;
                  const q = known.get(name);
                  return (
                    <td key={p} class="right">
                      {q && (
                        <button type="button" class="inline" data-name={name} aria-haspopup="dialog"
                                onClick={() => open({ name, answer, quantity: q })}>
                          <span class="value">{text(q.value, q.unit)}</span> <small>{interval(q)}</small>
                        </button>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const MOST_ROWS = 12;

export function TableView({ table, answer }: { table: Table; answer: Answer }) {
  const [all, setAll] = useState(false);
  const open = useContext(Opening);
  if (!table.rows.length) return null;
  const rows = all ? table.rows : table.rows.slice(0, MOST_ROWS);
  const right = table.columns.map((_, i) => table.rows.some((r) => typeof r[i] === "number" || isQuantity(r[i])));
  const cell = (value: Cell, unit: string) => (isQuantity(value) ? (
    <button type="button" class="inline" aria-haspopup="dialog"
            onClick={() => open({ name: table.name, answer, quantity: value })}>
      {text(value.value, value.unit)} {interval(value) && <small>{interval(value)}</small>}
    </button>
  ) : text(value, unit));
  return (
    <section class={`table ${table.name}`}>
      <h3>{table.title}</h3>
      <div class="scroll" tabIndex={0} role="region" aria-label={table.title}>
        <table>
          <thead><tr>{table.columns.map((c, i) => <th key={c.name} scope="col" class={right[i] ? "right" : ""}>{words(c.name)}</th>)}</tr></thead>
          <tbody>
            {rows.map((row, r) => (
              <tr key={r}>
                {row.map((value, i) => <td key={i} class={right[i] ? "right" : ""}>{cell(value, table.columns[i]?.unit ?? "1")}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="saves">
        {table.rows.length > MOST_ROWS && (
          <button type="button" onClick={() => setAll(!all)}>{all ? "Fewer rows" : `All ${table.rows.length} rows`}</button>
        )}
        <button type="button" onClick={() => download(`${table.name}.csv`, "text/csv", tableCsv(table))}>CSV</button>
      </div>
    </section>
  );
}

function Elsewhere({ answer }: { answer: Answer }) {
  const { calls, figures: _, ...plain } = answer;
  return (
    <details class="elsewhere">
      <summary>Take it elsewhere</summary>
      {calls && <Spoken calls={calls} />}
      <div class="saves">
        <button type="button" onClick={() => download(`${answer.question}.csv`, "text/csv", answerCsv(answer))}>Numbers as CSV</button>
        <button type="button" onClick={() => download(`${answer.question}.json`, "application/json", JSON.stringify(plain, null, 2))}>Answer as JSON</button>
        {calls?.toml && <button type="button" onClick={() => download("scenario.toml", "application/toml", calls.toml!)}>Scenario as TOML</button>}
      </div>
    </details>
  );
}

function Spoken({ calls }: { calls: Calls }) {
  const parts: [string, string | null][] = [
    ["Command line", calls.command], ["Python", calls.python], ["Scenario file", calls.toml]];
  return (
    <>
      {parts.map(([title, code]) => code && (
        <div class="code" key={title}>
          <span>{title}</span>
          <pre tabIndex={0} aria-label={title}>{code}</pre>
          <button type="button" onClick={() => void navigator.clipboard?.writeText(code)} aria-label={`Copy: ${title}`}>Copy</button>
        </div>
      ))}
    </>
  );
}
