// Axes: from values to pixels, and where the ticks stand.

import { formatSI } from "./format";
import type { Axis } from "./types";

export interface Scale {
  at: (value: number) => number;
  ticks: { value: number; text: string }[];
  low: number;
  high: number;
}

export function makeScale(axis: Axis, values: number[], from: number, to: number,
                          zero: boolean): Scale {
  const usable = values.filter((v) => Number.isFinite(v) && (!axis.log || v > 0));
  let [low, high] = [axis.low ?? least(usable), axis.high ?? most(usable)];
  if (axis.categories.length) [low, high] = [-0.5, axis.categories.length - 0.5];
  else if (axis.log) [low, high] = widened(low, high);
  else {
    if (zero && low > 0) low = 0;
    if (zero && high < 0) high = 0;
    if (low === high) [low, high] = [low - 1, high + 1];
    if (axis.high === null) high += (high - low) * 0.04;
    if (axis.low === null && low !== 0) low -= (high - low) * 0.04;
  }
  const place = axis.log ? Math.log10 : (v: number) => v;
  const [a, b] = [place(low), place(high)];
  return {
    at: (value) => from + ((place(value) - a) / (b - a)) * (to - from),
    ticks: ticks(axis, low, high, Math.abs(to - from), to < from), low, high,
  };
}

function least(values: number[]): number {
  return values.length ? values.reduce((a, b) => Math.min(a, b)) : 1;
}

function most(values: number[]): number {
  return values.length ? values.reduce((a, b) => Math.max(a, b)) : 10;
}

function widened(low: number, high: number): [number, number] {
  if (low === high) return [low / 2, high * 2];
  const room = (high / low) ** 0.03;
  return [low / room, high * room];
}

function ticks(axis: Axis, low: number, high: number, pixels: number, upright: boolean): Scale["ticks"] {
  if (axis.categories.length) {
    return axis.categories.map((text, value) => ({ value, text }));
  }
  const room = Math.max(2, pixels / (upright ? 38 : 78));
  const found = axis.log ? logTicks(low, high, room) : linearTicks(low, high, room);
  return found.map((value) => ({ value, text: tick(value, axis.unit) }));
}

// Ticks are round numbers: drop what the digits only pad.
function tick(value: number, unit: string): string {
  if (unit === "s" && Math.abs(value) >= 1) return `${Number(value.toPrecision(6)).toLocaleString("en")} s`;
  if (["s", "B", "W", "J"].includes(unit)) return trimmed(formatSI(value, unit));
  // Longer units stand in the axis title alone.
  if (Math.abs(value) < 1) return String(Number(value.toPrecision(6)));
  return trimmed(formatSI(value, "B").replace(/ ?B$/, "")).replace(/ (?=[kMGTPE]$)/, "");
}

function trimmed(text: string): string {
  return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "").trim();
}

function linearTicks(low: number, high: number, room: number): number[] {
  const rough = (high - low) / room;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10) * power;
  const found: number[] = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-12); i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

function logTicks(low: number, high: number, room: number): number[] {
  const decades = Math.log10(high / low);
  const every = Math.max(1, Math.ceil(decades / room));
  const choices = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]];
  const marks = choices.find((m) => decades * m.length <= room) ?? [1];
  const found: number[] = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++) {
    if (p % every && marks.length === 1) continue;
    for (const m of marks) {
      const value = Number((m * 10 ** p).toPrecision(3));
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) found.push(value);
    }
  }
  return found.length > 1 ? found : [low, high].map((v) => Number(v.toPrecision(2)));
}
