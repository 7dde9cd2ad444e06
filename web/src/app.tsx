// The page: views on top, the scenario they share, the question in the middle.

import { useEffect, useMemo, useState } from "preact/hooks";
import { world as load } from "./api";
import { Lists, ScenarioBar } from "./controls";
import { Meanings, Opening, Sheet } from "./numbers";
import type { Opened } from "./numbers";
import { Panel, share, usesScenario } from "./panel";
import { START, useAddress, write } from "./state";
import type { State } from "./state";
import type { Answer, Field, Fields, World } from "./types";
import { FrontierView } from "./views/frontier";
import { VIEWS } from "./views";
import { MemoryBar } from "./views/memory";
import { RooflineView } from "./views/roofline";

export function App() {
  const [world, setWorld] = useState<World | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    load().then(setWorld).catch((error: Error) => setProblem(error.message));
  }, []);
  if (problem) return <p class="error page" role="alert">{problem}</p>;
  if (!world) return <p class="empty page" role="status">Loading…</p>;
  return <Explorer world={world} />;
}

function Explorer({ world }: { world: World }) {
  const [state, change] = useAddress();
  const [opened, setOpened] = useState<Opened | null>(null);
  const [viewId = "fit", wanted] = state.view.split("/");
  const view = VIEWS.find((v) => v.id === viewId) ?? VIEWS[0]!;
  const there = view.asks.filter((q) => q === "frontier" || world.questions[q]);
  const asked = wanted && there.includes(wanted) ? wanted : there[0];
  useEffect(() => {
    document.title = `${view.title} - Ridgeline`;
  }, [view.title]);
  const fields = useMemo(() => {
    const found = scenarioFields(world);
    share(found);
    return found;
  }, [world]);
  const withScenario = asked === "frontier" || usesScenario(asked ?? "", asked ? world.questions[asked] : undefined);
  const setA = (name: string, value: string) => change({ a: { ...state.a, [name]: value } });
  const setB = (name: string, value: string) => change({ b: { ...state.b, [name]: value } });
  return (
    <Meanings.Provider value={world.definitions}>
      <Opening.Provider value={setOpened}>
        <a class="skip" href="#answers">Skip to the answers</a>
        <Top state={state} view={view.id} go={(id) => change({ view: id })} />
        <Lists world={world} />
        <main id="answers" tabIndex={-1}>
          <h1 class="hush">{view.title}</h1>
          {withScenario && (
            <div class={`bars ${state.b ? "pair" : ""}`}>
              <ScenarioBar title="Scenario" fields={fields} values={state.a} world={world} set={setA} />
              {state.b && <ScenarioBar title="Second scenario" fields={fields} values={state.b} world={world} set={setB} />}
              <div class="tools">
                <button type="button" aria-pressed={!!state.b} onClick={() => change({ b: state.b ? null : { ...state.a } })}>Compare</button>
                <button type="button" onClick={() => void navigator.clipboard?.writeText(location.origin + "/" + write(state))}>Copy link</button>
                <button type="button" onClick={() => change({ a: { ...START }, b: null, own: {} })}>Start over</button>
              </div>
            </div>
          )}
          {there.length > 1 && <Within asks={there} asked={asked!} world={world} view={view.id} state={state} go={(id) => change({ view: id })} />}
          {asked ? <Asked key={asked} name={asked} world={world} state={state} change={change} />
            : <p class="empty">This installation does not answer {view.title.toLowerCase()} questions.</p>}
        </main>
        <footer><span class="dim">Every number opens to its derivation. The address of this page is the scenario. The same API is under <a href="/api/openapi.json">/api</a>.</span></footer>
        <Sheet opened={opened} close={() => setOpened(null)} />
      </Opening.Provider>
    </Meanings.Provider>
  );
}

// The fields that a scenario may have, from the questions that take one.
function scenarioFields(world: World): Field[] {
  const found = new Map<string, Field>();
  for (const name of ["estimate", "fit"]) {
    for (const f of world.questions[name]?.fields ?? []) {
      if (f.section || f.name === "model" || f.name === "machine") found.set(f.name, f);
    }
  }
  return [...found.values()];
}

interface Going {
  state: State;
  view: string;
  go: (id: string) => void;
}

function follow(event: MouseEvent, go: () => void): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go();
}

function Top({ state, view, go }: Going) {
  return (
    <header class="top">
      <a class="brand" href="/">Ridgeline</a>
      <nav aria-label="Views">
        {VIEWS.map((v) => (
          <a key={v.id} href={write({ ...state, view: v.id })} aria-current={v.id === view ? "page" : undefined}
             onClick={(e) => follow(e, () => go(v.id))}>{v.title}</a>
        ))}
      </nav>
      <Theme />
    </header>
  );
}

function Within({ asks, asked, world, view, state, go }: Going & { asks: string[]; asked: string; world: World }) {
  const title = (name: string) => world.questions[name]?.title ?? "What can be traded?";
  return (
    <nav class="within" aria-label="Questions of this view">
      {asks.map((q) => (
        <a key={q} href={write({ ...state, view: `${view}/${q}` })} aria-current={q === asked ? "true" : undefined}
           onClick={(e) => follow(e, () => go(`${view}/${q}`))}>{title(q)}</a>
      ))}
    </nav>
  );
}

function Theme() {
  const [theme, setTheme] = useState(() => localStorage.getItem("theme") ?? "");
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  useEffect(() => {
    if (theme) document.documentElement.dataset["theme"] = theme;
  }, [theme]);
  const turn = () => {
    const next = dark ? "light" : "dark";
    localStorage.setItem("theme", next);
    setTheme(next);
  };
  return <button type="button" class="theme" onClick={turn}>{dark ? "Light" : "Dark"}</button>;
}

interface AskedProps {
  name: string;
  world: World;
  state: State;
  change: (next: Partial<State>) => void;
}

function Asked({ name, world, state, change }: AskedProps) {
  const own: Fields = state.own[name] ?? {};
  const set = (field: string, value: string) =>
    change({ own: { ...state.own, [name]: { ...own, [field]: value } } });
  const props = { name, world, a: state.a, b: state.b, own, set };
  if (name === "frontier") return <FrontierView {...props} />;
  if (name === "roofline") return <RooflineView {...props} />;
  if (name === "fit" || name === "fit_training") {
    return <Panel {...props} figures={false} lead={(answer: Answer) => <MemoryBar answer={answer} />} />;
  }
  return <Panel {...props} />;
}
