"""The OpenAPI description: one operation a question, from the registry's schemas."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from ridgeline.http.work import EXTRAS
from ridgeline.questions.registry import QUESTIONS

__all__ = ["ERRORS", "describe", "document", "question_operation"]

_QUANTITY = {"type": "object", "required": ["value", "unit"], "properties": {
    "value": {}, "low": {"type": ["number", "null"]}, "high": {"type": ["number", "null"]},
    "unit": {"type": "string"}, "basis": {"type": "string"}}}
_TABLE = {"type": "object", "required": ["name", "title", "columns", "rows"], "properties": {
    "name": {"type": "string"}, "title": {"type": "string"},
    "columns": {"type": "array", "items": {"type": "object", "properties": {
        "name": {"type": "string"}, "unit": {"type": "string"}}}},
    "rows": {"type": "array", "items": {"type": "array"}}}}
_ANSWER = {"type": "object",
           "required": ["question", "scenario", "answer", "tables", "notes", "derivation"],
           "properties": {
               "question": {"type": "string"}, "scenario": {"type": "object"},
               "answer": {"type": "object", "additionalProperties": {"anyOf": [
                   {"$ref": "#/components/schemas/Quantity"}, {"type": "array"},
                   {"type": "object"}]}},
               "tables": {"type": "array", "items": {"$ref": "#/components/schemas/Table"}},
               "notes": {"type": "array", "items": {"type": "string"}},
               "derivation": {"type": "array", "items": {"type": "object"}},
               "figures": {"type": "array", "items": {"type": "object"}},
               "calls": {"type": "object"}}}
_ERROR = {"type": "object", "required": ["error"], "properties": {
    "error": {"type": "object", "required": ["kind", "message"], "properties": {
        "kind": {"type": "string"}, "message": {"type": "string"}}}}}
_SCHEMAS = {"Quantity": _QUANTITY, "Table": _TABLE, "Answer": _ANSWER, "Error": _ERROR}


def _error(text: str) -> dict[str, Any]:
    return {"description": text,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


ERRORS: dict[int, dict[str, Any]] = {
    400: _error("The body is not JSON."), 403: _error("A page of another origin."),
    404: _error("No such entry."), 413: _error("The body is too large."),
    415: _error("Not sent as application/json."), 421: _error("Not a name of this server."),
    422: _error("A wrong value, a broken rule, or an answer that is no."),
    501: _error("An optional package is missing on the server."),
    503: _error("The server is busy.")}
_INCLUDE = {"name": "include", "in": "query", "required": False, "style": "form",
            "explode": False, "description": "What to return beside the answer.",
            "schema": {"type": "array", "uniqueItems": True, "maxItems": len(EXTRAS),
                       "items": {"type": "string", "enum": list(EXTRAS)}}}


def question_operation(name: str, *, stream: bool = False) -> dict[str, Any]:
    """Arguments of a route that describe a question."""
    question = QUESTIONS[name]
    kind = "text/event-stream" if stream else "application/json"
    content = {} if stream else {"schema": {"$ref": "#/components/schemas/Answer"}}
    text = question.text + (" Streams progress as server-sent events; closing cancels."
                            if stream else "")
    found: dict[int | str, Any] = {
        200: {"description": "The answer.", "content": {kind: content}},
             **{code: ERRORS[code] for code in ERRORS if code != 404}}
    return {"summary": question.title, "description": text, "tags": ["questions"],
            "responses": found, "response_class": Response,
            "openapi_extra": {"parameters": [_INCLUDE], "requestBody": {
                "required": True, "content": {"application/json": {
                    "schema": question.schema}}}}}


def describe(app: FastAPI) -> None:
    """Serve the description under /api/openapi.json."""
    made: dict[str, Any] = {}

    @app.get("/api/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        if not made:
            made.update(document(app))
        return made


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of the application."""
    made = get_openapi(title=app.title, version=app.version, routes=app.routes,
                       description="Every question of Ridgeline over HTTP.")
    components = made.setdefault("components", {}).setdefault("schemas", {})
    components.update(_SCHEMAS)
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    _own_errors(made)
    return made


def _own_errors(document: dict[str, Any]) -> None:
    """The framework's description of bad parameters replaced by ours."""
    for path in document["paths"].values():
        for operation in path.values():
            if "422" in operation["responses"]:
                operation["responses"]["422"] = ERRORS[422]
            for code in (403, 421):
                operation["responses"].setdefault(str(code), ERRORS[code])
