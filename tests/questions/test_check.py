import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.questions.check import check
from ridgeline.questions.claim_names import find_format, find_machine, find_model
from ridgeline.questions.claim_text import read_claim


def test_the_prompt_rate_no_h100_node_can_reach():
    answer = check("100k tok/s prefill of Llama-3-70B on 8xH100 in bf16")
    assert answer["verdict"] == "impossible"
    assert answer.value("share_of_limit") == pytest.approx(1.78, abs=0.005)
    assert answer.value("limit_tokens_per_s") == pytest.approx(56093, rel=1e-3)
    ways = [row[0] for row in answer.tables[0].rows]
    assert ways[0] == "fp8 (89 %)" and ways[1].startswith("prefix cache hits on 44 %")
    assert {d.name for d in answer.derivation} == {"prefill_ceiling", "model_flops_utilisation"}


@pytest.mark.parametrize(("claim", "verdict"), [
    ("100k tok/s prefill of Llama-3-70B on 8xH100 in fp8", "implausible"),
    ("40,000 tok/s prefill of Llama-3-70B on 8xH100", "possible"),
    ("3,200 tok/s decode of llama 3 70b on 8 H100s at batch 64, 8k context", "possible"),
    ("9000 tok/s generation of Llama-3-70B on eight H100s, batch 64, 8k context", "impossible"),
    ("3,200 tok/s of Llama-3-70B on 8xH100", "possible"),
    ("300 tok/s single stream of Llama-3-70B on 8xH100", "impossible"),
    ("12 ms per token for Llama-3.1-8B on an H100", "possible"),
    ("2 ms per token for Llama-3.1-8B on an H100", "impossible"),
    ("TTFT of 300 ms for an 8k prompt of Llama-3-70B on 8xH100", "possible"),
    ("TTFT of 50 ms for an 8k prompt of Llama-3-70B on 8xH100", "impossible"),
    ("$0.20/Mtok for Llama-3-70B on 8xH100 at $2/h", "possible"),
    ("$0.001 per million tokens for Llama-3-70B on 8xH100 at $2/h", "impossible"),
    ("Llama-3-70B weights take 140 GB in fp16", "correct"),
    ("Llama-3-70B Q4_K_M weights: ~38 GB", "wrong"),
    ("KV cache of Qwen2.5-7B is 57.3 kB/token", "correct"),
    ("KV cache of Qwen2.5-7B takes 80-120 MB per 1K tokens", "wrong"),
    ("KV cache of Llama-3-70B at 32k context and batch 16 is 168 GB", "correct"),
    ("training a 70B model on 2T tokens takes 8.4e23 FLOP", "correct"),
    ("training a 70B model on 2T tokens takes 9722 PFLOP/s-days", "correct"),
    ("training a 70B model on 2T tokens took 24 days on 1024xH100", "possible"),
    ("training a 70B model on 15T tokens took 24 days on 1024xH100", "impossible"),
    ("DeepSeek-V3 was trained on 14.8T tokens in 2.664M H800 GPU hours on 2048xH800", "possible"),
    ("MFU of 5.7 % at 3200 tok/s for Llama-3-70B on 8xH100", "correct"),
    ("decoding at batch 1 has an MFU of 30 % for Llama-3-70B on 8xH100", "impossible"),
    ("the critical batch is 295 on H100", "correct"), ("critical batch 150 on H100", "wrong"),
    ("the ridge point of A100 is 153 FLOP/byte", "correct"),
    ("H100 memory bandwidth is 3.35 TB/s", "correct"), ("NVLink 4 is 900 GB/s", "correct"),
    ("InfiniBand NDR is 400 Gbit/s", "correct"), ("H100 does 1979 TFLOPS in bf16", "wrong"),
    ("DeepSeek-V3 has 671B parameters, 37B active", "correct"),
    ("Mixtral 8x7B fits on one A100", "wrong"), ("Llama-3-8B fits on an RTX 4090", "correct"),
    ("Llama-3-70B does not fit on an A100", "correct"),
    ("Llama-3-8B was trained on 15T tokens, 1868 tokens per parameter", "correct"),
    ("0.001 J/token for Llama-3-70B on 8xH100", "impossible"),
    ("AdamW optimizer state of a 70B model takes 840 GB", "correct"),
    ("B200 has 2.27x the FLOP/s of H100", "correct"),
    ("H200 has 1.4x the memory bandwidth of H100", "correct"),
    ("H100 has twice the bandwidth of A100", "wrong"),
    ("B200 is 2.3 times as fast as H100", "approximately"),
    ("FP16 to INT8 is 2x smaller", "correct"), ("INT8 to Q4_K_M is 4x smaller", "wrong"),
    ("int8 weights are half the size of bf16", "correct"),
    ("DeepSeek-V3 activates 5.6 % of its parameters", "correct"),
    ("Llama-3-70B has 80 layers", "correct"), ("Llama-3-70B has 8 KV heads", "correct"),
    ("Llama-3-70B has 64 KV heads", "wrong"), ("Llama-3-70B has 8 experts", "wrong"),
    ("DeepSeek-V3 has 256 experts", "correct"),
    ("Llama-3-8B has a vocabulary of 128,256", "correct"),
    ("Llama-3-70B in bf16 needs 2 A100s", "correct"), ("Llama-3-70B needs one H100", "wrong"),
    ("training Llama-3-8B at 13,000 tok/s per GPU on 64xH100", "implausible"),
    ("training Llama-3-8B at 9,000 tok/s per GPU on 64xH100", "possible"),
    ("training Llama-3-8B at 30,000 tok/s per GPU on 64xH100", "impossible"),
    ("training Llama-3-8B at 9,000 tok/s per GPU on 64xH100 is 43.8 % MFU", "correct"),
    ("training Llama-3-8B at 9,000 tok/s per GPU on 64xH100 is 14.6 % MFU", "wrong"),
    ("H200 has 141 GB of memory", "correct"), ("A100 TDP is 400 W", "correct"),
    ("8xH100 draw 7 kW", "wrong"), ("gpt-oss-120b weights take 65 GB", "correct"),
    ("gpt-oss-120b fits on one H100", "correct"),
    ("training reaches 400 TFLOP/s per GPU on 1024xH100", "possible"),
    ("400 Gbit/s is 50 GB/s", "correct"), ("400 Gbit/s = 400 GB/s", "wrong"),
    ("100 TFLOP is 1e14 FLOP", "correct"), ("100 TFLOPS is 1e14 FLOP", "wrong"),
    ("80 GiB is 85.9 GB", "correct"), ("80 GiB is 80 GB", "wrong")])
def test_claims_of_every_kind(claim, verdict):
    answer = check(claim)
    assert answer["verdict"] == verdict, answer["bound"]
    assert str(answer["bound"]).startswith(verdict)
    answer.to_dict()


@pytest.mark.parametrize(("claim", "slip"), [
    ("Llama-3-70B weights take 70.5 GB in bf16", "one byte a value instead of two"),
    ("Llama-3-70B KV cache is 2.62 MB/token", "query heads counted instead of KV heads"),
    ("training a 70B model on 2T tokens takes 2.8e23 FLOP", "a forward pass only"),
    ("H100 does 1979 TFLOPS in bf16", "sparse peak"),
    ("H100 memory bandwidth is 26.8 TB/s", "bits taken for bytes"),
    ("400 Gbit/s = 400 GB/s", "bits taken for bytes"), ("80 GB is 85.9 GB", "GiB taken for GB")])
def test_the_likely_slip_is_named(claim, slip):
    answer = check(claim)
    assert slip in next(t for t in answer.tables if t.name == "slips").rows[0][0]


def test_flags_fill_what_the_words_leave_out():
    whole = check("3200 tok/s of Llama-3-70B on 8xH100 at batch 64, 8000 context")
    parts = check("3200 tok/s", model="Llama-3-70B", machine="8xH100", batch=64, context=8000)
    assert whole.value("share_of_limit") == parts.value("share_of_limit")
    assert check("100k tok/s prefill", model="Llama-3-70B", machine="8xH100",
                 weights="fp8")["verdict"] == "implausible"


@settings(max_examples=25, deadline=None)
@given(st.floats(1.01, 20), st.sampled_from(["prefill", "decode at batch 32"]))
def test_a_larger_rate_is_never_easier(factor, phase):
    claims = [check(f"{rate:.0f} tok/s {phase} of Llama-3-8B on H100")
              for rate in (3000, 3000 * factor)]
    shares = [c.value("share_of_limit") for c in claims]
    assert shares[1] == pytest.approx(shares[0] * factor, rel=1e-2)
    order = ["possible", "implausible", "impossible"]
    assert order.index(claims[1]["verdict"]) >= order.index(claims[0]["verdict"])


@pytest.mark.parametrize("claim", [
    "100 tok/s of Llama-3-70B on H100 at batch 1e15", "", "   ", "hello world",
    "NaN tok/s on H100", "-5 tok/s of Llama-3-8B on H100",
    "0 tok/s of Llama-3-8B on H100", "1e400 tok/s of Llama-3-8B on H100", "10 tok/s",
    "10 tok/s of Llama-3-8B", "10 tok/s on H100", "x" * 3000, "100 tok/s of Llama-3-70B on 0xH100",
    "TTFT 300 ms of Llama-3-8B on H100", "Llama-3-8B on H100", "training a 70B model took 3 days",
    "40 % MFU in training", "a KV cache of 3 GB", "KV cache of Llama-3-70B is 3 GB",
    "$3/Mtok of Llama-3-8B", "9 9 9 9", "% tok/s $ /h"])
def test_what_cannot_be_checked_says_what_is_missing(claim):
    with pytest.raises(BadInput) as error:
        check(claim)
    assert "\n" not in str(error.value) and str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_checked_or_refused(text):
    try:
        answer = check(text)
    except RidgelineError:
        return
    assert answer["verdict"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(
    ["100k tok/s", "8xH100", "Llama-3-70B", "prefill", "decode", "in fp8", "$2/h", "at 40 % MFU",
     "batch 64", "8k context", "15T tokens", "24 days", "training", "140 GB", "KV cache", "weights",
     "critical batch", "295", "FLOP", "1e24 FLOP", "70B", "fits", "$0.1/Mtok", "3 TB/s", "NVLink",
     "12 ms", "TTFT", "params", "q4_k_m", "DeepSeek-V3", "TPU v5e", "0.5 J/token"]), max_size=7))
def test_any_words_of_the_field_are_checked_or_refused(words):
    try:
        answer = check(" ".join(words))
    except RidgelineError:
        return
    share = answer.quantities.get("share_of_limit")
    assert share is None or math.isfinite(answer.value("share_of_limit"))


def test_unknown_conditions_are_refused():
    with pytest.raises(UnknownName, match="condition of a claim 'bach'"):
        check("10 tok/s", model="Llama-3-8B", machine="H100", bach=3.0)
    with pytest.raises(UnknownName, match="unknown model"):
        check("10 tok/s", model="Llama-9", machine="H100")


@pytest.mark.parametrize(("text", "machine"), [
    ("on 8xH100 now", "8xH100-SXM"), ("eight H100s", "8xH100-SXM"), ("an A100", "A100-SXM-80GB"),
    ("2x8xH200", "2x8xH200-SXM"), ("16 × B200", "16xB200-SXM"), ("TPU v5e", "TPU-v5e"),
    ("on a MacBook", None), ("2.7M H800 hours on 2048xH800", "2048xH800-SXM-80GB")])
def test_machines_in_words(text, machine):
    found = find_machine(text)[0]
    assert found == machine or (machine and found and found.split("-")[0] == machine.split("-")[0])


def test_models_and_formats_in_words():
    assert find_model("prefill of llama 3 70b on")[0] == "meta-llama/Meta-Llama-3-70B"
    assert find_model("a 70B model")[0] is None
    assert find_format("in FP8 on")[0] == "fp8" and find_format("4-bit weights")[0] == "int4"
    assert find_format("no format here")[0] is None


def test_amounts_with_their_units():
    claim = read_claim("15.6T tokens, 3.8e25 FLOP, 30.84M GPU hours, 8k context, $2.50/h, 1,024 GB")
    found = {a.kind: a.value for a in claim.amounts}
    assert found["tokens"] == pytest.approx(15.6e12) and found["flop"] == 3.8e25
    assert found["chip_hours"] == pytest.approx(30.84e6 * 3600) and found["context"] == 8000
    assert found["usd_per_hour"] == 2.5 and found["bytes"] == 1.024e12
