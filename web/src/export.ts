// Files and the clipboard.

import type { Answer, Cell, Table } from "./types";
import { isQuantity } from "./types";

export function download(name: string, type: string, content: string | Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function toCsv(rows: unknown[][]): string {
  const cell = (value: unknown) => {
    const text = value === null || value === undefined ? "" : String(value);
    // A leading sign of a formula would run in a spreadsheet.
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

export function answerCsv(answer: Answer): string {
  const rows = Object.entries(answer.answer).map(([name, q]) =>
    [name, q.value, q.low ?? "", q.high ?? "", q.unit, q.basis ?? ""]);
  return toCsv([["quantity", "value", "low", "high", "unit", "basis"], ...rows]);
}

export function tableCsv(table: Table): string {
  const head = table.columns.map((c) => (c.unit && c.unit !== "1" ? `${c.name} [${c.unit}]` : c.name));
  const bare = (cell: Cell) => (isQuantity(cell) ? cell.value : cell);
  return toCsv([head, ...table.rows.map((row) => row.map(bare))]);
}
