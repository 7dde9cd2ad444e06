"""200 people at the explorer at once: how long an estimate takes them.

A server of the real command with two workers; every user asks again and again about a scenario of
their own, with a pause between questions as a hand on a slider makes, and half of them move in
steps that others have asked before. Budget: 95 % of answers within 300 ms on two cores.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import time

import aiohttp

USERS, SECONDS, PAUSE = 200, 20.0, 4.0
MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "Qwen3-30B-A3B")
MACHINES = ("8xH100-SXM", "8xH200-SXM", "8xB200-SXM")


def body(draw: random.Random, own: bool) -> dict:
    """A scenario as a slider makes them: two digits; or one of a user's own."""
    step = draw.choice((500, 1000, 2000, 4000, 8000))
    return {"model": draw.choice(MODELS), "machine": draw.choice(MACHINES),
            "prompt": step + (draw.randrange(1000) if own else 0), "output": 500,
            "concurrency": draw.choice((1, 2, 4, 8, 16, 32, 64)), "advice": False}


async def user(session: aiohttp.ClientSession, address: str, seed: int, end: float,
               times: list, failures: list) -> None:
    draw = random.Random(seed)
    await asyncio.sleep(draw.uniform(0, PAUSE))
    while time.monotonic() < end:
        start = time.perf_counter()
        async with session.post(f"{address}/api/estimate", json=body(draw, seed % 2 == 0)) as reply:
            content = await reply.read()
        times.append(time.perf_counter() - start)
        if reply.status != 200:
            failures.append(json.loads(content)["error"]["message"])
        await asyncio.sleep(draw.uniform(0.5, 1.5) * PAUSE)


async def load(address: str) -> tuple[list, list]:
    times: list = []
    failures: list = []
    limits = aiohttp.TCPConnector(limit=USERS)
    async with aiohttp.ClientSession(connector=limits) as session:
        draw = random.Random(1)
        for _ in range(60):                       # warm: a server that has been up for a minute
            async with session.post(f"{address}/api/estimate", json=body(draw, False)) as reply:
                await reply.read()
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(user(session, address, seed, end, times, failures)
                               for seed in range(USERS)))
    return times, failures


def main() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ridgeline", "web", "--port", "0", "--workers", "2"],
        stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://[\d.:]+\d", process.stdout.readline())[0]
        alone = asyncio.run(one_at_a_time(address))
        times, failures = asyncio.run(load(address))
    finally:
        process.terminate()
        process.wait()
    times.sort()
    print(f"one user, new questions: median {1e3 * alone[len(alone) // 2]:.0f} ms "
          "(budget 50 ms on an idle machine)")
    print(f"{USERS} users, a question every {PAUSE:g} s: {len(times) / SECONDS:.0f} answers/s, "
          f"median {1e3 * times[len(times) // 2]:.0f} ms, "
          f"p95 {1e3 * times[int(0.95 * len(times))]:.0f} ms (budget 300 ms), "
          f"{len(failures)} refused")


async def one_at_a_time(address: str) -> list:
    """Times of questions nobody has asked, one after the other."""
    times = []
    async with aiohttp.ClientSession() as session:
        for prompt in range(1, 41):
            asked = {"model": MODELS[0], "machine": MACHINES[0], "prompt": 3000 + prompt,
                     "output": 500, "concurrency": 16, "advice": False}
            start = time.perf_counter()
            async with session.post(f"{address}/api/estimate", json=asked) as reply:
                await reply.read()
            times.append(time.perf_counter() - start)
    return sorted(times[5:])


if __name__ == "__main__":
    main()
