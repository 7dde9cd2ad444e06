"""Reading published runs: what each says, and why some have no prediction."""

import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.validate.training_rows import case_of, framework_of, reported_flop_per_token

ROW = {"framework": "Megatron-Bridge", "model": "LLAMA3_70B", "gpu": "NVIDIA H100",
       "n_gpus": 64.0, "seq_len_tokens": 8192.0, "global_batch_seqs": 256.0,
       "micro_batch_seqs": 1.0, "tp": 4.0, "pp": 8.0, "dp": 2.0, "cp": 1.0, "ep": None,
       "vpp": 5.0, "fsdp": "0", "precision": "FP8", "recompute": "", "task": "pretrain",
       "notes": "", "hidden": None, "layers": None, "heads": None, "params_b": None}


def test_a_row_becomes_a_case() -> None:
    case = case_of(ROW)
    assert (case.layout.tp, case.layout.pp, case.layout.dp, case.layout.vp) == (4, 8, 2, 5)
    assert (case.precision, case.backward, case.layout.zero) == ("fp8", 2.0, 1)
    assert case.cluster.n_chips == 64
    # The source counts 449,226 MFLOP a token for this model: 736 TFLOP/s at 1,639 tokens/s.
    assert reported_flop_per_token(case) == pytest.approx(736e12 / 1639, rel=5e-3)


def test_stated_shapes_make_a_model() -> None:
    case = case_of({**ROW, "framework": "Megatron-DeepSpeed (ZeRO-1)",
                    "model": "GPT 181B (vocab 250k)", "hidden": 14336.0, "layers": 72.0,
                    "heads": 64.0, "recompute": "full", "precision": "bf16/fp16 mixed",
                    "gpu": "NVIDIA A100 SXM 80GB"})
    assert case.architecture.total_params == pytest.approx(181e9, rel=0.01)
    assert not case.flash and case.layout.recompute == "full"


def test_sharded_and_adapter_runs() -> None:
    assert case_of({**ROW, "pp": 1.0, "dp": 16.0, "fsdp": "16"}).layout.zero == 3
    assert case_of({**ROW, "task": "LoRA"}).backward == 1.0
    assert case_of({**ROW, "precision": "MXFP8"}).precision == "mxfp8"
    assert framework_of("torchtitan") == "torchtitan" and framework_of("else") == ""


def test_packed_weights_and_host_optimizers() -> None:
    packed = case_of({**ROW, "framework": "DeepSpeed/PEFT", "task": "Q-LoRA"})
    assert packed.packed_bytes == pytest.approx(0.52) and packed.backward == 1.0
    assert packed.trained is not None and packed.trained < 0.02 * 70e9
    host = case_of({**ROW, "framework": "DeepSpeed ZeRO-3 + CPU AdamW offload", "pp": 1.0,
                    "dp": 16.0, "fsdp": "ZeRO-3"})
    assert host.offload and host.layout.zero == 3
    assert case_of({**ROW, "notes": "AsyncTP"}).async_tp is True


def test_a_tuned_run_that_states_no_micro_batch_keeps_its_bubble_small() -> None:
    row = {**ROW, "framework": "Megatron-LM", "micro_batch_seqs": None, "vpp": None,
           "model": "GPT 39.1B", "hidden": 8192.0, "layers": 48.0, "heads": 64.0,
           "gpu": "NVIDIA A100 SXM 80GB", "tp": 8.0, "pp": 2.0, "dp": 4.0,
           "precision": "fp16", "recompute": "full"}
    for sequences, micro in ((256.0, 4), (160.0, 2), (64.0, 1)):
        assert case_of({**row, "global_batch_seqs": sequences}).layout.micro_batch == micro


@pytest.mark.parametrize("changes", [
    {"framework": "LitGPT"}, {"task": "LoRA (multinode)"}, {"n_gpus": None}, {"tp": None,
                                                                  "micro_batch_seqs": None},
    {"model": "GPT 1B", "hidden": None},
])
def test_what_a_row_does_not_say_is_the_reason(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        case_of({**ROW, **changes})
