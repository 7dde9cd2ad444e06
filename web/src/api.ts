// Calls to the server, errors as one line.

import type { Answer, World, Names } from "./types";

export class Refused extends Error {
  constructor(readonly kind: string, message: string) {
    super(message);
  }
}

async function refusal(response: Response): Promise<Refused> {
  try {
    const { error } = await response.json();
    return new Refused(error.kind, error.message);
  } catch {
    return new Refused("internal", `the server answered ${response.status}`);
  }
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refused("offline", "the server does not answer; is `ridgeline web` still running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get<T>(path: string): Promise<T> {
  return (await send(path)).json() as Promise<T>;
}

export type Body = Record<string, unknown>;

function post(body: Body, signal?: AbortSignal): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  };
}

const INCLUDE = "include=figures,calls";

export async function ask(question: string, body: Body, signal?: AbortSignal,
                          include = INCLUDE): Promise<Answer> {
  const query = include ? `?${include}` : "";
  return (await send(`/api/${question}${query}`, post(body, signal))).json() as Promise<Answer>;
}

export interface Progress {
  share: number | null;
  text: string;
  elapsed_s: number;
}

// A long question: progress as it comes, then the answer. Aborting the signal cancels it.
export async function stream(question: string, body: Body, signal: AbortSignal,
                             onProgress: (progress: Progress) => void): Promise<Answer> {
  const response = await send(`/api/${question}/stream?${INCLUDE}`, post(body, signal));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Refused("internal", "the server ended before it answered");
    held += value;
    const events = held.split("\n\n");
    held = events.pop() ?? "";
    for (const event of events) {
      const kind = /^event: (.*)$/m.exec(event)?.[1];
      const data = JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? "null");
      if (kind === "answer") return data as Answer;
      if (kind === "error") throw new Refused(data.error.kind, data.error.message);
      if (kind === "progress") onProgress(data as Progress);
    }
  }
}

async function names(kind: keyof Names): Promise<string[]> {
  const { entries } = await get<{ entries: { name: string }[] }>(`/api/catalog/${kind}`);
  return entries.map((entry) => entry.name);
}

export async function world(): Promise<World> {
  const [questions, definitions, models, chips, engines, formats] = await Promise.all([
    get<World["questions"]>("/api/questions"), get<World["definitions"]>("/api/definitions"),
    names("models"), names("chips"), names("engines"), names("formats"),
  ]);
  return { questions, definitions, models, chips, engines, formats };
}
