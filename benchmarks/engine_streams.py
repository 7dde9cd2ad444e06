"""What `ridgeline measure engine` itself costs: 500 streams of tokens at once on one core.

    python -m benchmarks engine_streams

A server in a process of its own sends every stream a token each 50 ms (10,000 a second in all).
The gaps the client sees, its lag and its processor time tell how much it distorts. Needs two idle
cores: the server is Python too, and late when it has to share.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time

from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.measure.engine.result import summarise

TOKENS, PACE = 80, 0.05
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length"))
            tokens = json.loads(await reader.readexactly(size))["max_tokens"]
            writer.write(HEAD)
            begun = time.perf_counter()
            for i in range(tokens):
                await asyncio.sleep(begun + (i + 1) * PACE - time.perf_counter())
                last = '"length"' if i == tokens - 1 else "null"
                put(writer, f'data: {{"choices":[{{"text":"w{i} ","index":0,'
                            f'"finish_reason":{last}}}]}}\n\n')
            put(writer, f'data: {{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":'
                        f'{tokens}}}}}\n\ndata: [DONE]\n\n')
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def put(writer, text):
    data = text.encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
        return
    with subprocess.Popen([sys.executable, "-m", "benchmarks.engine_streams", "serve"],
                          stdout=subprocess.PIPE, text=True) as child:
        url = f"http://127.0.0.1:{child.stdout.readline().strip()}"
        print(f"streams  gap p50   gap p99   TPOT mean (sent every {1e3 * PACE:.0f} ms)  lag p99   "
              "processor  us a chunk  failed")
        for streams in (1, 50, 200, 500):
            protocol = parse_protocol(f"closed:{streams}")
            plan = planned_requests(protocol, requests=streams, prompt=8, output=TOKENS)
            outcome = run_load(Endpoint(url, "m"), protocol, plan, warmup=streams)
            n, seen = summarise(outcome), outcome.overhead
            print(f"{streams:7}  {1e3 * n['itl_p50']:5.1f} ms  {1e3 * n['itl_p99']:5.1f} ms  "
                  f"{1e3 * n['tpot_mean']:6.2f} ms {'':24} {1e3 * seen.lag_p99:5.1f} ms  "
                  f"{seen.cpu_share:6.0%}    {1e6 * seen.cpu_per_event:6.1f}    {n['failed']:.0f}")
            assert statistics.median(r.output_tokens for r in outcome.records) == TOKENS
        child.kill()


if __name__ == "__main__":
    main()
