// Where the memory of the fullest device goes, as one bar.

import { formatSI } from "../format";
import type { Answer } from "../types";

const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"];

export function MemoryBar({ answer }: { answer: Answer }) {
  const table = answer.tables.find((t) => t.name === "memory");
  if (!table) return null;
  const parts = table.rows.map((row, i) => ({
    name: String(row[0]), bytes: Math.max(0, Number(row[1])), color: COLORS[i % COLORS.length]!,
  })).filter((p) => p.bytes > 0);
  const total = parts.reduce((sum, p) => sum + p.bytes, 0);
  const spoken = parts.map((p) => `${p.name} ${formatSI(p.bytes, "B")}`).join(", ");
  return (
    <div class="memory" role="img" aria-label={`${table.title}: ${spoken}`}>
      <div class="bar">
        {parts.map((p) => (
          <i key={p.name} style={{ flexGrow: p.bytes / total, background: p.color }} title={`${p.name}: ${formatSI(p.bytes, "B")}`}
             class={p.name === "unused" ? "unused" : ""} />
        ))}
      </div>
      <ul>
        {parts.map((p) => (
          <li key={p.name}><i style={{ background: p.color }} class={p.name === "unused" ? "unused" : ""} />{p.name} <b>{formatSI(p.bytes, "B")}</b></li>
        ))}
      </ul>
    </div>
  );
}
