"""Start commands: one server's command line, and its configuration file, for each engine."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ridgeline.search.launch.spec import PORT, Service
from ridgeline.search.layouts import unrunnable

__all__ = ["DRAFT_HERE", "ENGINES", "Command", "command", "engine_facts"]

ENGINES = ("vllm", "sglang", "trtllm", "llamacpp")
# Stands for the drafter's name in files, where no setting of a shell is expanded.
DRAFT_HERE = "DRAFT_MODEL"
_DATA = Path(__file__).with_name("options.toml")
# Formats an engine makes of 16-bit weights while it loads them; others need a checkpoint that
# holds them.
_MADE_ON_LOAD = {"vllm": {"fp8": "fp8"}, "sglang": {"fp8": "fp8"}}
_KV_NAMES = {
    "vllm": {"fp8": "fp8"},
    "sglang": {"fp8": "fp8_e4m3", "nvfp4": "fp4_e2m1"},
    "trtllm": {"fp8": "fp8", "int8": "int8", "nvfp4": "nvfp4"},
    "llamacpp": {"bf16": "bf16", "fp16": "f16", "fp32": "f32"},
}


@dataclass(frozen=True)
class Command:
    """How one server is started.

    Attributes:
        argv: program and options; `$MODEL` stands for the checkpoint, `$DRAFT` for what drafts.
        config: keys of the file that `--config` names; empty: no file.
        notes: what the user must see to.
        impossible: why this engine cannot run the layout; "" when it can.
    """

    argv: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    impossible: str = ""


@functools.cache
def engine_facts() -> dict[str, Any]:
    """Documented options, versions, sources and images, by engine."""
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))


def command(engine: str, service: Service, declared: str, config: str = "") -> Command:
    """The command of one server.

    Args:
        engine: vllm, sglang, trtllm or llamacpp.
        service: what it is to run.
        declared: format that the model's checkpoint declares for its weights.
        config: name of the configuration file, for the engine that takes one.
    """
    return _MAKERS[engine](service, declared, config)


def _weights(engine: str, service: Service, declared: str) -> tuple[list[str], tuple[str, ...]]:
    """Options and notes on the format of the weights."""
    wanted = service.formats.dense.name
    experts = service.formats.experts.name
    if wanted == declared and service.deployment.experts is None:
        return [], ()
    made = _MADE_ON_LOAD.get(engine, {}).get(wanted)
    if made and declared in ("bf16", "fp16") and experts in (wanted, declared):
        return ["--quantization", made], ()
    return [], (f"MODEL must be a checkpoint in {_kinds(service)}: the published one is "
                f"{declared}",)


def _kinds(service: Service) -> str:
    """Formats of the weights in words."""
    wanted, experts = service.formats.dense.name, service.formats.experts.name
    return wanted if experts == wanted else f"{wanted} (experts {experts})"


def _kv(engine: str, service: Service) -> str:
    """The engine's word for the cache's format; "" for its default of 16 bit."""
    return _KV_NAMES[engine].get(service.formats.kv.name, "")


def _drafts(service: Service) -> tuple[str, ...]:
    """What the user must see to where decoding speculates."""
    if not service.drafted:
        return ()
    return (f"{service.drafted} tokens are drafted for each verification: DRAFT must be an EAGLE-3 "
            "head of the model (another drafter has its own options); the prediction holds for "
            "the acceptance that the plan was given",)


def _vllm(service: Service, declared: str, config: str) -> Command:
    plan = service.deployment
    if why := unrunnable(plan):
        return Command(impossible=why)
    quantized, notes = _weights("vllm", service, declared)
    argv = ["vllm", "serve", "$MODEL", "--host", "0.0.0.0", "--port", str(PORT),
            "--tensor-parallel-size", str(plan.tp * plan.cp)]
    argv += _sized("--pipeline-parallel-size", plan.pp)
    argv += _sized("--decode-context-parallel-size", plan.cp)
    argv += _sized("--data-parallel-size", plan.attention_dp)
    argv += ["--enable-expert-parallel"] if plan.ep > 1 else []
    argv += ["--max-model-len", str(service.max_len)]
    # Limits of a vLLM server hold for each of its data-parallel engines.
    if service.sequences is not None:
        argv += ["--max-num-seqs", str(math.ceil(service.sequences / plan.attention_dp))]
    argv += _sized("--max-num-batched-tokens", plan.max_num_batched_tokens or 0)
    argv += _given("--gpu-memory-utilization", plan.memory_fraction)
    argv += quantized + _named("--kv-cache-dtype", _kv("vllm", service))
    if service.drafted:
        argv += ["--speculative-config", '{"method": "eagle3", "model": "$DRAFT", '
                                         f'"num_speculative_tokens": {service.drafted}}}']
    notes += _drafts(service)
    if service.role != "serve":
        argv += ["--kv-transfer-config",
                 '{"kv_connector": "NixlConnector", "kv_role": "kv_both"}']
        notes += ("prefill and decode servers need a proxy that hands a request from one to the "
                  "other over NIXL; vLLM brings none with its server",)
    if service.nodes > 1:
        argv += ["--distributed-executor-backend", "ray"]
        notes += (f"a server spans {service.nodes} machines: start Ray on all of them first, and "
                  "run this on the head",)
    return Command(tuple(argv), notes=notes)


def _sglang(service: Service, declared: str, config: str) -> Command:
    plan = service.deployment
    quantized, notes = _weights("sglang", service, declared)
    argv = ["python3", "-m", "sglang.launch_server", "--model-path", "$MODEL", "--host", "0.0.0.0",
            "--port", str(PORT), "--tp-size", str(plan.tp * plan.attention_dp)]
    argv += _sized("--pp-size", plan.pp) + _sized("--ep-size", plan.ep)
    if plan.attention_dp > 1:
        argv += ["--dp-size", str(plan.attention_dp), "--enable-dp-attention"]
    argv += ["--context-length", str(service.max_len)]
    # Limits of an SGLang server are shared out among its attention copies.
    argv += _sized("--max-running-requests", service.sequences or 0)
    argv += _sized("--chunked-prefill-size",
                   (plan.max_num_batched_tokens or 0) * plan.attention_dp)
    argv += _given("--mem-fraction-static", plan.memory_fraction)
    argv += quantized + _named("--kv-cache-dtype", _kv("sglang", service))
    if service.drafted:
        # A chain, not a tree: one candidate a position, and the verified token besides.
        argv += ["--speculative-algorithm", "EAGLE3", "--speculative-draft-model-path", "$DRAFT",
                 "--speculative-num-steps", str(service.drafted), "--speculative-eagle-topk", "1",
                 "--speculative-num-draft-tokens", str(service.drafted + 1)]
    notes += _drafts(service)
    if service.role != "serve":
        argv += ["--disaggregation-mode", service.role]
    if service.nodes > 1:
        argv += ["--nnodes", str(service.nodes), "--node-rank", "$NODE_RANK",
                 "--dist-init-addr", "$HEAD:20000"]
        notes += (f"a server spans {service.nodes} machines: run this on each, with NODE_RANK from "
                  "0 and HEAD the address of the first",)
    return Command(tuple(argv), notes=notes)


def _trtllm(service: Service, declared: str, config: str) -> Command:
    plan = service.deployment
    if why := unrunnable(plan):
        return Command(impossible=why)
    _, notes = _weights("trtllm", service, declared)
    argv = ["trtllm-serve", "$MODEL", "--host", "0.0.0.0", "--port", str(PORT), "--backend",
            "pytorch", "--tp_size", str(plan.tp * plan.attention_dp)]
    argv += _sized("--pp_size", plan.pp) + _sized("--cp_size", plan.cp)
    argv += [*_sized("--ep_size", plan.ep), "--max_seq_len", str(service.max_len)]
    if service.sequences is not None:
        argv += ["--max_batch_size", str(math.ceil(service.sequences / plan.attention_dp))]
    argv += _sized("--max_num_tokens", plan.max_num_batched_tokens or 0)
    argv += _given("--free_gpu_memory_fraction", plan.memory_fraction)
    keys: dict[str, Any] = {"enable_attention_dp": plan.attention_dp > 1}
    if plan.max_num_batched_tokens:
        keys["enable_chunked_prefill"] = True
    if kv := _kv("trtllm", service):
        keys["kv_cache_config"] = {"dtype": kv}
    if service.sequences is not None:
        keys["cuda_graph_config"] = {
            "enable_padding": True,
            "max_batch_size": math.ceil(service.sequences / plan.attention_dp)}
    if service.drafted:
        keys["speculative_config"] = {"decoding_type": "Eagle", "max_draft_len": service.drafted,
                                      "speculative_model": DRAFT_HERE}
        notes += (*_drafts(service), f"write its name for {DRAFT_HERE} in {config}")
    if service.role != "serve":
        # The buffer must hold the longest prompt's cache, or its transfer waits for ever.
        keys["cache_transceiver_config"] = {"backend": "DEFAULT",
                                            "max_tokens_in_buffer": service.max_len}
        if service.role == "prefill":
            keys["disable_overlap_scheduler"] = True
    if service.nodes > 1:
        notes += (f"a server spans {service.nodes} machines: run this under mpirun or srun with "
                  f"{service.chips} ranks",)
    return Command((*argv, "--config", config), keys, notes)


def _llamacpp(service: Service, declared: str, config: str) -> Command:
    plan = service.deployment
    if service.role != "serve":
        return Command(impossible="llama.cpp does not split prompts and decoding")
    if service.nodes > 1:
        return Command(impossible=f"a server spans {service.nodes} machines")
    slots = service.sequences or 1
    argv = ["llama-server", "--model", "$MODEL", "--host", "0.0.0.0", "--port", str(PORT),
            "--n-gpu-layers", "999", "--parallel", str(slots), "--ctx-size",
            str(slots * service.max_len), "--flash-attn", "on", "--cont-batching", "--metrics"]
    if service.chips > 1:
        argv += ["--split-mode", "row" if plan.tp > 1 else "layer"]
    if budget := plan.max_num_batched_tokens:
        argv += ["--batch-size", str(budget), "--ubatch-size", str(budget)]
    kv = _kv("llamacpp", service) or service.formats.kv.name
    argv += ["--cache-type-k", kv, "--cache-type-v", kv]
    notes = [f"MODEL must be a GGUF file with weights in {_kinds(service)}"]
    if service.drafted:
        argv += ["--model-draft", "$DRAFT", "--draft-max", str(service.drafted)]
        notes.append("DRAFT must be a GGUF file of a small model with the same vocabulary; its "
                     "acceptance is not the one that the plan was given")
    return Command(tuple(argv), notes=tuple(notes))


_MAKERS: dict[str, Callable[[Service, str, str], Command]] = {
    "vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "llamacpp": _llamacpp}


def _sized(flag: str, value: int) -> list[str]:
    """An option that is left out at its default of 1, or where nothing was chosen (0)."""
    return [flag, str(value)] if value > 1 else []


def _given(flag: str, value: float | None) -> list[str]:
    return [] if value is None else [flag, f"{value:g}"]


def _named(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []
