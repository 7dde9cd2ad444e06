"""A real client session with `ridgeline mcp` over its standard input and output."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from ridgeline.questions.registry import QUESTIONS, ask

SCENARIO = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 200}


@asynccontextmanager
async def session(*flags):
    server = StdioServerParameters(command=sys.executable, args=["-m", "ridgeline", "mcp", *flags])
    async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as open_:
        await open_.initialize()
        yield open_


def talk(conversation, *flags):
    async def run():
        async with session(*flags) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(run(), 60))


@pytest.fixture(scope="module")
def spoken():
    """One session that lists the tools and calls several."""

    async def conversation(client):
        calls = {"fit": SCENARIO, "estimate": {**SCENARIO, "prompt": "2k"},
                 "unknown": {}, "check": {"claim": "gibberish"}}
        found = {name: await client.call_tool(name, body) for name, body in calls.items()}
        found["file"] = await client.call_tool("fit", {**SCENARIO, "model": "/etc/passwd"})
        found["typo"] = await client.call_tool("fit", {**SCENARIO, "machine": "H100-SXM6"})
        found["field"] = await client.call_tool("fit", {**SCENARIO, "promt": 3})
        found["chips"] = await client.call_tool("catalog", {"kind": "chips"})
        found["chip"] = await client.call_tool("catalog", {"kind": "chips", "name": "H100-SXM"})
        return (await client.list_tools()).tools, found

    return talk(conversation)


def test_every_question_is_a_tool_with_its_schema(spoken):
    tools, _ = spoken
    assert [t.name for t in tools] == [*QUESTIONS, "catalog"]
    fit = next(t for t in tools if t.name == "fit")
    assert fit.description and fit.input_schema["required"] == ["model", "machine"]


def test_a_tool_answers_what_the_question_answers(spoken):
    _, found = spoken
    expected = json.loads(json.dumps(ask("fit", SCENARIO).to_dict()))
    assert found["fit"].structured_content == expected
    assert "KV cache" in found["fit"].content[0].text
    value = found["estimate"].structured_content["answer"]["tpot_s"]["value"]
    assert value == pytest.approx(ask("estimate", SCENARIO).value("tpot_s"), rel=1e-12)


@pytest.mark.parametrize(("call", "said"), [
    ("unknown", "unknown tool"), ("check", "claim"), ("file", "not a file"),
    ("typo", "did you mean"), ("field", "did you mean 'prompt'")])
def test_a_refusal_is_one_line(spoken, call, said):
    result = spoken[1][call]
    text = result.content[0].text
    assert result.is_error and said in text and "\n" not in text and "Traceback" not in text


def test_the_catalog_is_a_tool(spoken):
    _, found = spoken
    names = [e["name"] for e in found["chips"].structured_content["entries"]]
    assert "H100-SXM" in names
    assert found["chip"].structured_content["entry"]["memory"]["bytes"] == 8e10


def test_a_question_that_takes_too_long_is_refused_and_the_next_answered():
    async def conversation(client):
        slow = await client.call_tool("simulate", {**SCENARIO, "rate": 1, "requests": 1_000_000})
        return slow, await client.call_tool("fit", SCENARIO)

    slow, after = talk(conversation, "--limit", "0.4", "--workers", "1")
    assert slow.is_error and "takes longer than the 0.4 s" in slow.content[0].text
    assert not after.is_error
