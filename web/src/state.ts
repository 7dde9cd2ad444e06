// The whole state of the page is its URL: the view, scenario A (plain names), scenario B ("b."),
// and each question's own settings ("question.field").

import { useEffect, useRef, useState } from "preact/hooks";
import type { Fields } from "./types";

export interface State {
  view: string;
  a: Fields;
  b: Fields | null;
  own: Record<string, Fields>;
}

export const START: Fields = {
  model: "Llama-3.1-70B", machine: "8xH100-SXM", prompt: "4000", output: "1000", concurrency: "32",
};

export function read(search: string): State {
  const state: State = { view: "fit", a: {}, b: null, own: {} };
  for (const [key, value] of new URLSearchParams(search)) {
    const dot = key.indexOf(".");
    if (key === "view") state.view = value;
    else if (key === "compare") state.b ??= {};
    else if (dot < 0) state.a[key] = value;
    else if (key.startsWith("b.")) (state.b ??= {})[key.slice(2)] = value;
    else (state.own[key.slice(0, dot)] ??= {})[key.slice(dot + 1)] = value;
  }
  if (Object.keys(state.a).length === 0) state.a = { ...START };
  return state;
}

export function write(state: State): string {
  const query = new URLSearchParams({ view: state.view });
  for (const [name, value] of Object.entries(state.a)) if (value !== "") query.set(name, value);
  for (const [question, fields] of Object.entries(state.own)) {
    for (const [name, value] of Object.entries(fields)) {
      if (value !== "") query.set(`${question}.${name}`, value);
    }
  }
  if (state.b) {
    query.set("compare", "1");
    for (const [name, value] of Object.entries(state.b)) if (value !== "") query.set(`b.${name}`, value);
  }
  return `?${query.toString()}`;
}

export function useAddress(): [State, (next: Partial<State>) => void] {
  const [state, setState] = useState(() => read(location.search));
  const latest = useRef(state);
  latest.current = state;
  useEffect(() => {
    const back = () => setState(read(location.search));
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  // Browsers limit how often an address may change; a slider moves faster than that.
  const later = useRef<number | undefined>(undefined);
  const change = (next: Partial<State>) => {
    const then = { ...latest.current, ...next };
    const moved = next.view !== undefined && next.view !== latest.current.view;
    latest.current = then;
    setState(then);
    clearTimeout(later.current);
    if (moved) history.pushState(null, "", write(then));
    else later.current = window.setTimeout(() => history.replaceState(null, "", write(then)), 120);
  };
  return [state, change];
}
