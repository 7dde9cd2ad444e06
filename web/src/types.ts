// The JSON of the server, as `ridgeline.questions.answer` and `ridgeline.report.figure` write it.

export type Scalar = string | number | boolean | null;

export interface Quantity {
  value: Scalar;
  low?: number | null;
  high?: number | null;
  unit: string;
  basis?: string;
}

export type Cell = Scalar | Quantity;

export interface Table {
  name: string;
  title: string;
  columns: { name: string; unit: string }[];
  rows: Cell[][];
}

export interface Input {
  name: string;
  symbol: string;
  value: number | number[] | null;
  unit: string;
  meaning: string;
  basis: string;
  source: string;
}

export interface Derivation {
  name: string;
  title: string;
  formula: string;
  inputs: Input[];
  result: Quantity;
  valid_for: string;
  sources: string[];
}

export interface Axis {
  label: string;
  unit: string;
  log: boolean;
  low: number | null;
  high: number | null;
  categories: string[];
}

export interface Series {
  kind: "scatter" | "line" | "band" | "bar" | "text";
  name?: string;
  x: (number | null)[] | number;
  y?: (number | null)[] | number;
  low?: (number | null)[];
  high?: (number | null)[];
  hover?: string[];
  size?: number;
  width?: number;
  dash?: boolean;
  opacity?: number;
  color: string;
  text?: string;
}

export interface Figure {
  title: string;
  subtitle: string;
  stacked: boolean;
  x: Axis;
  y: Axis;
  series: Series[];
}

export interface Calls {
  command: string | null;
  python: string;
  toml: string | null;
}

export interface Answer {
  question: string;
  scenario: Record<string, unknown>;
  answer: Record<string, Quantity>;
  tables: Table[];
  notes: string[];
  derivation: Derivation[];
  figures?: Figure[];
  calls?: Calls;
}

export interface Field {
  name: string;
  kind: "number" | "whole" | "text" | "flag" | "list";
  item: string;
  default: Scalar | Scalar[];
  required: boolean;
  text: string;
  choices: string[];
  section: string;
}

export interface Question {
  title: string;
  text: string;
  slow: boolean;
  draws: boolean;
  fields: Field[];
}

export interface Definition {
  meaning: string;
  formula: string;
}

export interface Names {
  models: string[];
  chips: string[];
  engines: string[];
  formats: string[];
}

export interface World extends Names {
  questions: Record<string, Question>;
  definitions: Record<string, Definition>;
}

export type Fields = Record<string, string>;

export function isQuantity(cell: unknown): cell is Quantity {
  return typeof cell === "object" && cell !== null && "value" in cell && "unit" in cell;
}
