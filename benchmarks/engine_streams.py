"""What `ridgeline measure engine` itself adds to the times it takes: 500 streams on one core.

    python -m benchmarks engine_streams

A server in a process of its own sends every stream a token each 50 ms (10,000 a second in all) and
notes when it hands each one to the system, on the clock that the client reads too. The difference
to when the client noted the same token is what client and loopback add: its middle shifts every
time alike, its 99th percentile is the most a percentile of theirs can be wrong. Needs two idle
cores, or the right to a higher priority than other programs: both processes are Python.
"""

import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.measure.engine.result import summarise

TOKENS, PACE = 80, 0.05
SENT = {}      # first ids of a prompt -> when its tokens were handed over
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length"))
            asked = json.loads(await reader.readexactly(size))
            if asked == "sent":
                await put_log(writer)
                continue
            tokens, sent = asked["max_tokens"], []
            SENT[" ".join(map(str, asked["prompt"]))] = sent
            writer.write(HEAD)
            begun = time.perf_counter()
            for i in range(tokens):
                await asyncio.sleep(begun + (i + 1) * PACE - time.perf_counter())
                sent.append(time.perf_counter())
                last = '"length"' if i == tokens - 1 else "null"
                put(writer, f'data: {{"choices":[{{"text":"w{i} ","index":0,'
                            f'"finish_reason":{last}}}]}}\n\n')
            put(writer, f'data: {{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":'
                        f'{tokens}}}}}\n\ndata: [DONE]\n\n')
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def put_log(writer):
    data = json.dumps(SENT).encode()
    SENT.clear()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    await writer.drain()


def put(writer, text):
    data = text.encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def log_of(url):
    """When the server sent every token since it was last asked."""
    from urllib.request import Request, urlopen

    with urlopen(Request(url, data=b'"sent"')) as answer:
        return json.loads(answer.read())


def added(outcome, endpoint, log):
    """What lies between sending and noting every token, and how much each gap was changed [s]."""
    delays, changes = [], []
    for record in outcome.records:
        sent = log[" ".join(map(str, endpoint.body(record)["prompt"]))]
        late = [outcome.began + seen - at for seen, at in zip(record.arrivals, sent, strict=True)]
        delays += late
        changes += [abs(b - a) for a, b in itertools.pairwise(late)]
    return delays, changes


def at(values, share):
    return 1e3 * sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main():
    with contextlib.suppress(OSError):
        os.nice(-10)       # where it is allowed; the server below inherits it
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    with subprocess.Popen([sys.executable, "-m", "benchmarks.engine_streams", "serve"],
                          stdout=subprocess.PIPE, text=True) as child:
        url = f"http://127.0.0.1:{child.stdout.readline().strip()}"
        print(f"load average {os.getloadavg()[0]:.1f}; ms unless said otherwise\n"
              "streams  added p50    p99   gap changed p50    p99   TPOT mean "
              f"(sent every {1e3 * PACE:.0f})  lag p99  processor  us a chunk  failed")
        for streams in (1, 50, 200, 500):
            protocol = parse_protocol(f"closed:{streams}")
            plan = planned_requests(protocol, requests=streams, prompt=8, output=TOKENS)
            endpoint = Endpoint(url, "m")
            outcome = run_load(endpoint, protocol, plan, warmup=streams)
            n, seen = summarise(outcome), outcome.overhead
            delays, changes = added(outcome, endpoint, log_of(url))
            print(f"{streams:7}  {at(delays, 0.5):9.2f}  {at(delays, 0.99):5.1f}  "
                  f"{at(changes, 0.5):15.2f}  {at(changes, 0.99):5.1f}   "
                  f"{1e3 * n['tpot_mean']:9.2f}{'':17} {1e3 * seen.lag_p99:7.1f}  "
                  f"{seen.cpu_share:8.0%}   {1e6 * seen.cpu_per_event:9.1f}    "
                  f"{n['failed']:.0f}", flush=True)
            assert statistics.median(r.output_tokens for r in outcome.records) == TOKENS
        child.kill()


if __name__ == "__main__":
    main()
