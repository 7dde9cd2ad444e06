"""One question answered to the JSON of the web: what a worker process runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, Infeasible, MissingExtra, RidgelineError
from ridgeline.questions.registry import get_question, only_names

__all__ = ["EXTRAS", "Reply", "answer", "check", "one_line", "refusal"]

# What may be asked for beside the answer.
EXTRAS = ("figures", "calls", "text")
_LONGEST_LINE = 600


@dataclass(frozen=True)
class Reply:
    """Status and body of a response."""

    status: int
    body: bytes


def answer(name: str, body: Mapping[str, Any], extras: Sequence[str] = (),
           progress: Callable[..., None] | None = None) -> Reply:
    """Answer a question, or say in one line why not; never raises."""
    try:
        return Reply(200, _encode(_answered(name, body, extras, progress)))
    except Infeasible as error:
        return refusal(422, "infeasible", str(error))
    except MissingExtra as error:
        return refusal(501, "missing_extra", str(error))
    except RidgelineError as error:
        return refusal(422, "bad_input", str(error))
    except RecursionError:
        return refusal(422, "bad_input", "the body is nested too deeply")
    except MemoryError:
        return refusal(422, "limit", "the question needs more memory than this server gives one")
    except (OverflowError, FloatingPointError, ZeroDivisionError):
        logging.getLogger(__name__).warning("%s overflowed", name, exc_info=True)
        return refusal(422, "bad_input", "a number is too large or too small to compute with")
    except Exception:
        # A defect of ours: the details go to the server's log, not to a stranger.
        logging.getLogger(__name__).exception("question %s failed", name)
        return refusal(500, "internal", "the server failed to answer this question")


def check(name: str, body: Mapping[str, Any]) -> Reply | None:
    """The refusal of a body that no question could be asked with; None where it can be read."""
    try:
        question = get_question(name)
        only_names(question, _flat(body))
        question.arguments(body)
    except RidgelineError as error:
        return refusal(422, "bad_input", str(error))
    except (RecursionError, OverflowError):
        return refusal(422, "bad_input", "a number or a nesting is too large")
    return None


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the fields of its sections beside its own."""
    inner = {k: v for part in body.values() if isinstance(part, Mapping) for k, v in part.items()}
    return {**inner, **body}


def _answered(name: str, body: Mapping[str, Any], extras: Sequence[str],
              progress: Callable[..., None] | None) -> dict[str, Any]:
    question = get_question(name)
    only_names(question, _flat(body))
    given = question.arguments(body)
    found = question.answer(given, progress)
    out = found.to_dict()
    if "figures" in extras:
        out["figures"] = [figure.to_dict() for figure in question.drawn(found, given)]
    if "calls" in extras:
        from ridgeline.cli.spoken import calls

        out["calls"] = calls(name, question, body)
    if "text" in extras:
        from ridgeline.cli.render import render_answer

        out["text"] = render_answer(found)
    return out


def _encode(content: Any) -> bytes:
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise BadInput(f"the answer holds a number that JSON cannot: {error}") from error


def refusal(status: int, kind: str, message: str) -> Reply:
    """An error as the one-line JSON of every surface."""
    return Reply(status, _encode({"error": {"kind": kind, "message": one_line(message)}}))


def one_line(text: str) -> str:
    """A message without line breaks, cut where it is absurdly long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE - 3] + "..."
