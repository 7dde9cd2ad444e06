"""From a row of a serving-latency table to the deployment and the protocol it was measured with."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.truth.names import architecture_named, look_up
from ridgeline.measure.truth.recipes import UNPUBLISHED, Recipe, recipe_of

__all__ = ["Pool", "ServingRow", "read_serving_row"]

Row = Mapping[str, Any]

# Quantisation modes as the tables write them -> formats of the catalog.
_FORMATS = {"fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4", "int4_wo": "int4_g128",
            "int8_wo": "int8", "bfloat16": "bf16", "bf16": "bf16", "w4a16_mxfp4": "mxfp4",
            "w4afp8": "int4_g128", "fp4": "nvfp4", "int4": "int4_g128", "mxfp4": "mxfp4"}
# Checkpoints whose 4-bit or 8-bit release is of another format than the table's general word.
_FOUR_BITS = ("nvfp4", "int4_g128", "mxfp4")
_BLOCKS = {"fp8": "fp8_block"}
# Families whose 16-bit configs say nothing of it but whose FP8 releases scale blocks of 128 x 128
# (weight_block_size in the configs of Qwen3's FP8 repositories).
_BLOCK_RELEASES = ("Qwen/Qwen3",)
_OWN_FP4 = {"openai/gpt-oss-120b": "mxfp4", "openai/gpt-oss-20b": "mxfp4"}


@dataclass(frozen=True)
class Pool:
    """One pool of equal workers.

    Attributes:
        deployment: of one worker.
        workers: how many.
    """

    deployment: Deployment
    workers: int


@dataclass(frozen=True)
class ServingRow:
    """A measured run.

    Attributes:
        model, system: names as in the table.
        prefill, decode: pools; the same one when aggregated.
        prompt, output: nominal tokens of a request.
        concurrency: requests in flight in all.
        protocol: "inferencex" or "dynamo".
        recipe: how the decoding pool was launched, where that was published.
    """

    model: str
    system: str
    prefill: Pool
    decode: Pool
    prompt: int
    output: int
    concurrency: int
    protocol: str
    recipe: Recipe = UNPUBLISHED

    @property
    def disaggregated(self) -> bool:
        """Whether prompts and decoding have pools of their own."""
        return self.prefill is not self.decode


def read_serving_row(row: Row) -> ServingRow:
    """Read one row.

    Raises:
        BadInput: a degree or a concurrency is missing, with its name.
    """
    if row["mode"] == "disagg":
        prefill, decode = _pool(row, "prefill_"), _pool(row, "decode_")
        copies = decode.deployment.attention_dp * decode.workers
        concurrency = _number(row, "concurrency") or (_number(row, "decode_batch_size")
                                                      or 0) * copies
    else:
        prefill = decode = _pool(row, "")
        concurrency, decode = _replica_share(row, decode)
        prefill = decode
    if not concurrency:
        raise BadInput("the row states neither concurrency nor batch size")
    plan = decode.deployment
    recipe = recipe_of(row, _version(row), plan.tp, plan.attention_dp, concurrency)
    if prefill is decode:
        prefill = decode = _launched(decode, recipe, int(row["isl"]), int(concurrency))
    else:
        prefill, decode = (dataclasses.replace(p, deployment=_laid_out(p.deployment, recipe.layout))
                           for p in (prefill, decode))
    return ServingRow(str(row["model_path"]), str(row["system"]), prefill, decode,
                      int(row["isl"]), int(row["osl"]), int(concurrency), str(row["protocol"]),
                      recipe)


def _launched(pool: Pool, recipe: Recipe, prompt: int, concurrency: int) -> Pool:
    """The pool with its recipe's settings; pools apart have scripts of their own."""
    plan = _laid_out(pool.deployment, recipe.layout)
    return Pool(dataclasses.replace(
        plan, kv=recipe.kv or plan.kv, memory_fraction=recipe.memory_fraction,
        max_num_batched_tokens=recipe.token_budget(prompt, concurrency),
        max_num_seqs=recipe.sequences), pool.workers)


def _laid_out(plan: Deployment, layout: str) -> Deployment:
    """The deployment as its script spread it, where that is known."""
    if not layout:
        return plan
    group = plan.tp * plan.attention_dp
    if layout == "dp+ep":
        return dataclasses.replace(plan, ep=group if plan.attention_dp > 1 else plan.ep)
    return dataclasses.replace(plan, tp=group, attention_dp=1, ep=group if layout == "ep" else 1)


def _replica_share(row: Row, pool: Pool) -> tuple[int, Pool]:
    """Concurrency of the whole run, and how many equal replicas it was spread over.

    Where the total is above one replica's batch times its attention copies, several replicas ran.
    """
    batch, total = _number(row, "batch_size"), _number(row, "concurrency")
    stated = int(_number(row, "attention_dp_size") or 1)
    if not total:
        return int((batch or 0) * stated), pool
    replicas = max(1, round(total / (batch * stated))) if batch else 1
    return int(total), Pool(pool.deployment, replicas)


def _pool(row: Row, prefix: str) -> Pool:
    tp = int(_number(row, f"{prefix}tp_size") or 0)
    if not tp:
        raise BadInput(f"the row does not state {prefix}tp_size")
    attention_dp = int(_number(row, f"{prefix}attention_dp_size") or 1)
    expert_tp = int(_number(row, f"{prefix}moe_tp_size") or 1)
    ep = int(_number(row, f"{prefix}moe_ep_size") or 1)
    tp, attention_dp, ep = _degrees(tp, attention_dp, expert_tp, ep)
    dense, experts = _formats(row)
    deployment = Deployment(
        tp=tp, pp=int(_number(row, f"{prefix}pp_size") or 1), ep=ep, attention_dp=attention_dp,
        weights=dense, experts=experts, engine=_engine(row),
        engine_version=_version(row), kv=_kv(row))
    return Pool(deployment, int(_number(row, f"{prefix}num_workers") or 1))


def _degrees(tp: int, attention_dp: int, expert_tp: int, ep: int) -> tuple[int, int, int]:
    """(tp, attention_dp, ep) that were really run.

    Some tables write both expert degrees as the whole group (tp 8, ep 8: "8 x 8") and the attention
    degree as their product (64); and data-parallel attention as tp = attention_dp = the group.
    Their run names (tp8_ep8) tell.
    """
    if expert_tp == ep > 1:
        group = ep
        return (1, group, group) if attention_dp > 1 else (group, 1, group)
    if tp == attention_dp > 1:
        return 1, attention_dp, attention_dp if ep > 1 else 1
    return tp, attention_dp, ep if (tp * attention_dp) % ep == 0 else tp * attention_dp


def _formats(row: Row) -> tuple[str | None, str | None]:
    """Formats of dense and expert matrices.

    Tables name one format for the whole model. Public 4-bit releases of mixtures quantise the
    experts alone and leave the rest in 16 bit (the lists of excluded modules of NVIDIA's NVFP4
    releases; Moonshot's 4-bit integers; gpt-oss), and "fp8" of a checkpoint that scales blocks of
    weights is that format.
    """
    model, precision = str(row["model_path"]), str(row.get("precision") or "")
    stated = look_up(model).weights
    dense = str(row.get("gemm_quant_mode") or "") or precision or stated or "bf16"
    experts = str(row.get("moe_quant_mode") or "") or dense
    if model in _OWN_FP4:
        return "bf16", _OWN_FP4[model]
    dense, experts = _FORMATS.get(dense, dense), _FORMATS.get(experts, experts)
    mixture, blocks = _release(model)
    if "fp8_block" in (experts, dense) or blocks:
        dense, experts = (_BLOCKS.get(name, name) for name in (dense, experts))
    return "bf16" if mixture and experts in _FOUR_BITS else dense, experts


def _release(model: str) -> tuple[bool, bool]:
    """Whether a model has routed experts, and whether its checkpoint scales blocks of weights."""
    try:
        architecture = architecture_named(model)
    except RidgelineError:
        return False, False
    return bool(architecture.mixtures), (architecture.weight_format == "fp8_block"
                                         or model.startswith(_BLOCK_RELEASES))


def _engine(row: Row) -> str:
    return {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm"}.get(
        str(row["backend"]), str(row["backend"]))


def _version(row: Row) -> str:
    """The version column, else the version in the name of the container image."""
    version = str(row.get("backend_version") or "")
    if not version[:1].isdigit():
        version = ""          # a nightly build counts as the newest
    found = re.search(r"[:/]v?(\d+\.\d+\.\d[\w.]*)", str(row.get("silicon_data_source") or ""))
    return version if version or not found else found[1]


def _kv(row: Row) -> str | None:
    """TensorRT-LLM and 4- or 8-bit runs keep an 8-bit cache; others the engine's default."""
    return "fp8" if row["backend"] == "trtllm" else None


def _number(row: Row, name: str) -> float | None:
    value = row.get(name)
    if value in (None, ""):
        return None
    number = float(value)
    return number if number == number else None
