"""Start commands: only documented options, and the layout that was planned."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine.parse import parse_machine
from ridgeline.model.load import load_architecture
from ridgeline.search.launch.engines import ENGINES, command, engine_facts
from ridgeline.search.launch.spec import Service

MODEL = "DeepSeek-V3"


def service(engine="vllm", machine="8xH200-SXM", role="serve", sequences=64, model=MODEL,
            **degrees):
    plan = Deployment(engine=engine, **degrees)
    cluster = parse_machine(machine)
    formats = settle_formats(load_architecture(model), plan, cluster.chip)
    return Service(role, plan, formats, cluster, 1, sequences, 6000)


def made(engine, declared="fp8_block", **change):
    return command(engine, service(engine, **change), declared, "trtllm.yaml")


def option(argv, flag):
    return argv[argv.index(flag) + 1]


def flat(keys, before=""):
    for name, value in keys.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name


SHAPES = [{"tp": 8}, {"tp": 4, "pp": 2}, {"tp": 8, "ep": 8}, {"attention_dp": 8, "ep": 8},
          {"tp": 2, "attention_dp": 4, "ep": 8}, {"tp": 4, "cp": 2}]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_option_is_documented(engine):
    facts = engine_facts()[engine]
    seen = set()
    for shape, budget, kv, role, fraction, machine in itertools.product(
            SHAPES, (None, 2048), (None, "fp8"), ("serve", "prefill", "decode"), (None, 0.85),
            ("8xH200-SXM", "4x2xH200-SXM")):
        if (engine == "sglang" and shape.get("cp")) or (engine == "llamacpp" and kv):
            continue                                    # refused by the rules, before a command
        found = made(engine, machine=machine, role=role, max_num_batched_tokens=budget, kv=kv,
                     memory_fraction=fraction, **shape)
        if found.impossible:
            continue
        assert found.argv[:len(facts["program"])] == tuple(facts["program"])
        seen |= {word for word in found.argv if word.startswith("--")}
        assert set(flat(found.config)) <= set(facts.get("keys", ()))
    assert len(seen) >= 8
    assert seen <= set(facts["options"])


@pytest.mark.parametrize("engine", ENGINES)
def test_drafts_are_asked_of_every_engine(engine):
    facts = engine_facts()[engine]
    plain, found = (command(engine, dataclasses.replace(service(engine, tp=8), drafted=n),
                            "fp8_block", "trtllm.yaml") for n in (0, 3))
    more = [word for word in found.argv if word not in plain.argv]
    assert {word for word in more if word.startswith("--")} <= set(facts["options"])
    assert set(flat(found.config)) <= set(facts.get("keys", ()))
    told = " ".join([*more, str(found.config)])
    assert "3" in told
    assert "DRAFT" in told
    assert any("DRAFT" in note for note in found.notes)
    assert "DRAFT" not in " ".join(plain.argv)


def test_the_lists_say_where_they_are_from():
    for facts in engine_facts().values():
        assert {"title", "version", "date", "licence", "source", "program", "options"} <= set(facts)
        assert len(facts["options"]) == len(set(facts["options"]))


def test_llama_cpp_itself_knows_the_options():
    module = pytest.importorskip("xllamacpp")
    compiled = next(Path(module.__file__).parent.glob("xllamacpp*.so")).read_bytes()
    # Its option table holds each name as a C string.
    for flag in engine_facts()["llamacpp"]["options"]:
        assert b"\0" + flag.encode() + b"\0" in compiled, flag


def test_vllm():
    argv = made("vllm", tp=2, attention_dp=4, ep=8, kv="fp8", max_num_batched_tokens=4096).argv
    assert option(argv, "--tensor-parallel-size") == "2"
    assert option(argv, "--data-parallel-size") == "4"
    assert "--enable-expert-parallel" in argv
    assert option(argv, "--max-num-seqs") == "16"          # of one engine of four
    assert option(argv, "--max-num-batched-tokens") == "4096"
    assert option(argv, "--kv-cache-dtype") == "fp8"
    assert "--quantization" not in argv
    assert option(made("vllm", tp=4, cp=2).argv, "--tensor-parallel-size") == "8"
    assert "ep=2" in made("vllm", tp=8, ep=2).impossible
    spread = made("vllm", machine="4x2xH200-SXM", tp=8)
    assert option(spread.argv, "--distributed-executor-backend") == "ray"
    assert "spans 4 machines" in " ".join(spread.notes)


def test_sglang():
    argv = made("sglang", tp=2, attention_dp=4, ep=8, kv="fp8", max_num_batched_tokens=2048).argv
    assert option(argv, "--tp-size") == "8"                # the whole group
    assert option(argv, "--dp-size") == "4"
    assert option(argv, "--ep-size") == "8"
    assert option(argv, "--max-running-requests") == "64"  # of all copies together
    assert option(argv, "--chunked-prefill-size") == "8192"
    assert option(argv, "--kv-cache-dtype") == "fp8_e4m3"
    assert option(made("sglang", role="prefill", tp=8).argv, "--disaggregation-mode") == "prefill"
    assert option(made("sglang", machine="4x2xH200-SXM", tp=8).argv, "--nnodes") == "4"


def test_trtllm():
    found = made("trtllm", attention_dp=8, ep=8, kv="fp8", max_num_batched_tokens=2048)
    assert option(found.argv, "--tp_size") == option(found.argv, "--ep_size") == "8"
    assert option(found.argv, "--config") == "trtllm.yaml"
    assert option(found.argv, "--max_batch_size") == "8"
    assert found.config == {
        "enable_attention_dp": True, "enable_chunked_prefill": True,
        "kv_cache_config": {"dtype": "fp8"},
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": 8}}
    assert "tp=2" in made("trtllm", tp=2, attention_dp=4).impossible


def test_llamacpp():
    found = made("llamacpp", model="Llama-3.1-8B", declared="bf16", machine="2xH100-SXM", tp=2)
    assert option(found.argv, "--parallel") == "64"
    assert option(found.argv, "--ctx-size") == str(64 * 6000)
    assert option(found.argv, "--split-mode") == "row"
    assert "GGUF" in found.notes[0]
    assert made("llamacpp", role="decode", tp=8).impossible
    assert made("llamacpp", machine="4x2xH200-SXM", tp=8).impossible


@pytest.mark.parametrize(("engine", "weights", "flag", "note"), [
    ("vllm", None, None, ""), ("vllm", "fp8", "fp8", ""), ("sglang", "fp8", "fp8", ""),
    ("trtllm", "fp8", None, "checkpoint in fp8"), ("vllm", "nvfp4", None, "checkpoint in nvfp4")])
def test_formats_are_made_on_load_or_asked_of_the_checkpoint(engine, weights, flag, note):
    found = made(engine, "bf16", model="Llama-3.1-8B", machine="1xB200-SXM", weights=weights)
    assert ("--quantization" in found.argv) == (flag is not None)
    if flag:
        assert option(found.argv, "--quantization") == flag
    assert any(note in one for one in found.notes) if note else not found.notes


def test_nothing_chosen_is_left_to_the_engine():
    argv = command("vllm", dataclasses.replace(service(tp=8), sequences=None), "fp8_block", "").argv
    assert {"--max-num-seqs", "--max-num-batched-tokens", "--gpu-memory-utilization",
            "--kv-cache-dtype", "--pipeline-parallel-size"}.isdisjoint(argv)
