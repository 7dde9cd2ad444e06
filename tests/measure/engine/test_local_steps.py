"""Step times fitted to measured steps: exact on steps that follow the law, and for other models."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.deployment.operands import Format
from ridgeline.errors import BadInput
from ridgeline.measure.engine.local_steps import LocalSteps, Sample, fit_steps
from ridgeline.measure.engine.torch_steps import torch_rows
from ridgeline.model.huggingface import architecture_from_config

FORMAT = Format("fp16", 2.0, "fp16")
LAW = LocalSteps(FORMAT, (1.0, 4.0, 32.0, 128.0), (5e-11, 1.2e-10, 6e-10, 2.4e-9),
                 {"fixed": 1e-4, "launch": 2e-6, "decode_attention": 1e-10,
                  "prefill_attention": 2e-11, "move": 0.0}, 0.0)


def model(width, layers):
    return architecture_from_config({
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers,
        "intermediate_size": 2 * width, "num_attention_heads": width // 64,
        "num_key_value_heads": 2, "vocab_size": 4096, "tie_word_embeddings": False}, name="random")


def samples(*models):
    found = []
    for architecture in models:
        asked = [Sample.of_prompt(architecture, n, 1.0) for n in (32, 128)]
        asked += [Sample.of_decode(architecture, b, c, 1.0) for b in (1, 4) for c in (40, 400)]
        found += [dataclasses.replace(s, seconds=LAW.seconds(s)) for s in asked]
    return found


def test_a_law_is_found_again_and_holds_for_other_models():
    fit = fit_steps(samples(model(256, 4), model(512, 8)), FORMAT)
    assert fit.error < 1e-3 and fit.rows == LAW.rows
    for sample in samples(model(384, 6)):
        assert fit.seconds(sample) == pytest.approx(sample.seconds, rel=0.02)
    for sample in samples(model(1024, 10)):      # twice as wide as any measured
        assert fit.seconds(sample) == pytest.approx(sample.seconds, rel=0.1)


def test_a_long_prompt_is_the_sum_of_its_chunks():
    architecture = model(256, 4)
    whole = Sample.of_prompt(architecture, 300, 1.0, chunk=128)
    assert [s.prefill_tokens for s in whole.steps] == [128, 128, 44]
    assert [s.prefill_past for s in whole.steps] == [0, 128, 256]
    parts = [Sample(architecture, (step,), 1.0) for step in whole.steps]
    assert LAW.seconds(whole) == pytest.approx(sum(LAW.seconds(p) for p in parts))


def test_the_simulators_table_holds_the_same_times():
    architecture = model(256, 4)
    table = LAW.table(architecture, max_tokens=128, max_sequences=8, max_context=512)
    for batch, context in ((1, 1.0), (4, 512.0)):
        sample = Sample.of_decode(architecture, batch, context, 1.0)
        seconds = float(table.seconds(sequences=float(batch), context=context))
        assert seconds == pytest.approx(LAW.seconds(sample), rel=1e-6)
    prompt = float(table.seconds(prefill_tokens=128.0, finished=1.0))
    assert prompt == pytest.approx(LAW.seconds(Sample.of_prompt(architecture, 128, 1.0)), rel=0.01)


@given(st.integers(0, 2**31))
def test_no_constant_is_negative_whatever_the_noise(seed):
    noise = np.random.default_rng(seed).lognormal(0.0, 0.3, 12)
    noisy = [dataclasses.replace(s, seconds=s.seconds * f) for s, f in zip(
        samples(model(256, 4), model(512, 8)), noise, strict=True)]
    fit = fit_steps(noisy, FORMAT)
    assert min([*fit.per_param, *fit.shared.values()]) >= 0


def test_what_cannot_be_fitted_is_refused():
    some = samples(model(256, 4))
    with pytest.raises(BadInput, match="too few"):
        fit_steps(some[:3], FORMAT)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="positive"):
            fit_steps([*some, dataclasses.replace(some[0], seconds=wrong)], FORMAT)


def test_recorded_pytorch_steps_are_predicted(record):
    rows = torch_rows(record("torch.json"))
    by_kind = {kind: [abs(r.error) for r in rows if r.kind == kind]
               for kind in ("matmul", "attention", "prompt", "decode", "training")}
    assert sum(map(len, by_kind.values())) >= 25
    for kind, errors in by_kind.items():
        assert np.median(errors) < 0.2, kind
