"""A real engine: the machine is measured, llama.cpp predicted from that alone, then run."""

import dataclasses

import numpy as np
import pytest

import ridgeline
from ridgeline.errors import BadInput
from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.llamacpp import (
    QUANTS,
    Shape,
    served_apart,
    stream_samples,
    write_model,
)
from ridgeline.measure.engine.llamacpp_rows import architecture_of, server_rows, stream_rows
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.measure.machine.chip_file import write_chip
from ridgeline.measure.machine.here import plan_here
from ridgeline.measure.machine.sweep import measure_machine
from ridgeline.model.load import load_architecture

TARGETS = [Shape(384, 4, 1024, 6, 2, 2048), Shape(512, 4, 1408, 8, 2, 4096),
           Shape(640, 4, 1792, 10, 2, 4096)]
FORMATS = ("fp16", "q8_0", "q4_0")
# The targets are 15 % and 25 %; models this small and a machine busy with other tests are allowed
# twice that. The record of a quieter run holds the targets themselves, below.
GENERATION, PROMPT = 2 * 0.15, 2 * 0.25


@pytest.mark.parametrize("quant", sorted(QUANTS))
def test_a_random_model_reads_as_its_shape(tmp_path, quant):
    shape = Shape(256, 2, 512, 4, 2, 1024)
    architecture = load_architecture(str(write_model(tmp_path / "m.gguf", shape, quant)))
    d, kv = 256, 128
    matrices = 2 * 1024 * d + 2 * (2 * d * d + 2 * d * kv + 3 * d * 512)
    assert architecture.total_params == matrices + 5 * d
    assert architecture.n_layers == 2
    assert architecture_of([*dataclasses.astuple(shape)]).total_params == matrices + 5 * d


def measured_here(folder):
    """This machine as a chip file, llama.cpp's kernels and costs with it."""
    host, batches = plan_here(threads=1, quick=True)
    kept = [dataclasses.replace(b, jobs=tuple(
        j for j in b.jobs if b.kernels or j.kind in ("read", "matmul")))
        for b in batches if not (b.kernels and b.library == "torch")]
    return write_chip(measure_machine(host, kept, budget=0.01), folder / "here.toml")


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    return measured_here(tmp_path_factory.mktemp("chips"))


def median_errors(tmp_path, chip):
    """Of generation and of prompts, against llama.cpp run here and now."""
    errors = {"decode": [], "prompt": []}
    for quant in FORMATS:
        for shape in TARGETS:
            path = write_model(tmp_path / "model.gguf", shape, quant)
            for sample in stream_samples(path, prompts=(96,), contexts=(160,), tokens=12,
                                         repeats=2):
                step = sample.steps[0]
                kind = "decode" if step.decode_sequences else "prompt"
                tokens = round(float(step.prefill_tokens or step.decode_context))
                answer = ridgeline.estimate(str(path), str(chip), engine="llamacpp", weights=quant,
                                            prompt=tokens, output=1)
                found = answer.value("tpot_s" if kind == "decode" else "ttft_s")
                errors[kind].append(abs(found / sample.seconds - 1))
    assert len(errors["decode"]) == len(errors["prompt"]) == 9
    return np.median(errors["decode"]), np.median(errors["prompt"])


def test_generation_and_prompts_are_predicted_from_the_machine_alone(tmp_path, chip):
    """Somebody else's burst of work spoils a measurement of machine or engine: both again then."""
    for attempt in range(3):
        decode, prompt = median_errors(tmp_path, chip if not attempt else measured_here(tmp_path))
        if decode < GENERATION and prompt < PROMPT:
            break
    assert decode < GENERATION and prompt < PROMPT


def test_the_chip_file_serves_every_command_at_once(chip):
    asked = {"engine": "llamacpp", "weights": "q8_0", "prompt": 64, "output": 32}
    alone = ridgeline.estimate("Llama-3.2-1B", str(chip), **asked).value("tpot_s")
    pair = ridgeline.estimate("Llama-3.2-1B", str(chip), concurrency=2, **asked).value("tpot_s")
    assert 0 < alone < pair
    assert ridgeline.roofline("Llama-3.2-1B", str(chip), **asked).value("decode_lower_s") < alone
    served = ridgeline.simulate("Llama-3.2-1B", str(chip), concurrency=1, requests=8, **asked)
    assert served.value("tpot_mean_s") == pytest.approx(alone, rel=0.15)


def test_recorded_runs_hold_the_targets(record):
    data = record("llamacpp.json")
    rows, served = stream_rows(data), server_rows(data)
    sizes = {(r.model, r.format) for r in rows}
    assert len(sizes) >= 9 and len({m for m, _ in sizes}) >= 3 and len(rows) == 36
    by_kind = {kind: [abs(r.error) for r in rows if r.kind == kind]
               for kind in ("decode", "prompt")}
    assert np.median(by_kind["decode"]) < 0.15 and np.median(by_kind["prompt"]) < 0.25
    assert {r.size for r in served} == {1, 2, 4, 8}
    assert np.median([abs(r.error) for r in served]) < 0.15


def test_the_server_is_measured_through_its_own_api(tmp_path):
    path = write_model(tmp_path / "m.gguf", Shape(256, 2, 512, 4, 2, 1024), "q8_0")
    protocol = parse_protocol("closed:4")
    plan = planned_requests(protocol, requests=12, prompt=24, output=16)
    with served_apart(path, slots=4, context=512) as (url, processor_time):
        before = processor_time()
        outcome = run_load(Endpoint(url), protocol, plan, warmup=4)
        spent = processor_time() - before
    assert len(outcome.records) == 12 and all(r.served for r in outcome.records)
    assert all((r.output_tokens, r.basis, r.prompt_tokens) == (16, "usage", 24)
               for r in outcome.records)
    assert not any(r.lies for r in outcome.records) and spent > 0


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(BadInput, match="q3_x"):
        write_model(tmp_path / "m.gguf", TARGETS[0], "q3_x")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(BadInput, match="did not start"), served_apart(tmp_path / "broken.gguf"):
        pass


def test_a_chip_file_that_is_not_there_is_one_line():
    with pytest.raises(BadInput, match="no chip file"):
        ridgeline.estimate("Llama-3.2-1B", "./missing.toml")


