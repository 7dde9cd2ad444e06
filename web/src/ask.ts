// Asking as controls move: the newest question wins, and at most one of a panel is on its way.

import { useEffect, useRef, useState } from "preact/hooks";
import { ask, stream } from "./api";
import type { Body, Progress } from "./api";
import type { Answer, Field, Fields, Question } from "./types";

export interface Asking {
  answer?: Answer;
  error?: string;
  kind?: string;
  busy: boolean;
  progress?: Progress;
  cancel: () => void;
}

export function bodyOf(fields: Field[], values: Fields): Body {
  const body: Body = {};
  for (const field of fields) {
    const value = values[field.name]?.trim();
    if (!value) continue;
    if (field.kind === "flag") body[field.name] = value === "true";
    else if (field.kind === "list") body[field.name] = value.split(",").map((v) => v.trim()).filter(Boolean);
    else body[field.name] = value;
  }
  return body;
}

export function missing(fields: Field[], values: Fields): string[] {
  return fields.filter((f) => f.required && !values[f.name]?.trim()).map((f) => f.name);
}

export function useAnswer(name: string, question: Question, values: Fields | null): Asking {
  const [found, setFound] = useState<Omit<Asking, "cancel">>({ busy: false });
  const flight = useRef<AbortController | null>(null);
  const key = values ? JSON.stringify(bodyOf(question.fields, values)) : "";
  const wanted = useRef("");

  const fly = async (asked: string) => {
    const control = new AbortController();
    flight.current = control;
    setFound((now) => ({ ...now, busy: true }));
    try {
      for await (const answer of answers(name, question, JSON.parse(asked) as Body, control.signal,
        (progress) => setFound((now) => ({ ...now, progress })))) {
        if (control.signal.aborted) return;
        const done = wanted.current === asked && answer.last;
        setFound({ answer: answer.answer, busy: !done });
      }
    } catch (error) {
      if (control.signal.aborted) return;
      const refused = error as Error & { kind?: string };
      if (wanted.current === asked) setFound({ error: refused.message, kind: refused.kind ?? "", busy: false });
    } finally {
      if (flight.current === control) {
        flight.current = null;
        // Controls moved meanwhile: ask for where they are now.
        if (wanted.current && wanted.current !== asked && !control.signal.aborted) void fly(wanted.current);
      }
    }
  };
  useEffect(() => {
    wanted.current = key;
    if (!key) return;
    if (!question.slow) {
      if (!flight.current) void fly(key);
      return;
    }
    const pause = setTimeout(() => {
      flight.current?.abort();
      flight.current = null;
      void fly(key);
    }, 300);
    return () => clearTimeout(pause);
  }, [key, name]);
  useEffect(() => () => flight.current?.abort(), [name]);
  const cancel = () => {
    flight.current?.abort();
    flight.current = null;
    wanted.current = "";
    setFound((now) => ({ ...now, busy: false, error: "cancelled; change a control to ask again" }));
  };
  return { ...found, cancel };
}

interface Part {
  answer: Answer;
  last: boolean;
}

async function* answers(name: string, question: Question, body: Body, signal: AbortSignal,
                        onProgress: (p: Progress) => void): AsyncGenerator<Part> {
  if (question.slow) {
    yield { answer: await stream(name, body, signal, onProgress), last: true };
    return;
  }
  const advises = question.fields.some((f) => f.name === "advice");
  if (advises && body["advice"] === undefined) {
    // The numbers first; what would help takes several times as long.
    yield { answer: await ask(name, { ...body, advice: false }, signal), last: false };
  }
  yield { answer: await ask(name, body, signal), last: true };
}
