import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.validate.memory import peak_of
from ridgeline.measure.validate.run import validate_files
from ridgeline.truth_data import shipped_file

ROW = {"framework": "AutoAWQ", "gpu": "RTX 4090 24GB", "n_gpus": 1.0, "model": "Llama 2 13B",
       "params_b": None, "phase": "inference", "quantity": "peak memory",
       "weight_dtype": "int4 (AWQ)", "batch_seqs": 1.0, "seq_len_tokens": "128", "config": "GEMM",
       "notes": ""}


def test_shipped_table():
    report = validate_files([shipped_file("memory.csv.xz")])[0]
    everything = report.groups[0]
    assert report.predicted == 242
    assert {u.reason for u in report.unanswered} == {
        "a sum over devices of a sharding the row does not say", "no measured value",
        "sharded over several devices with settings the row does not say"}
    assert everything.median_ape_pct < 4 and everything.p90_ape_pct < 20
    assert 70 <= everything.coverage80_pct <= 92


def test_a_row_on_a_processor_holds_more_copies():
    card = peak_of(ROW).total.value
    processor = peak_of(ROW | {"gpu": "Intel Xeon 4th gen"}).total.value
    assert 6e9 < card < 10e9 and processor > 2 * card


@pytest.mark.parametrize("change, message", [
    ({"framework": "mystery"}, "no memory model of framework 'mystery'"),
    ({"weight_dtype": "q7"}, "weight format 'q7'"),
    ({"seq_len_tokens": "up to a lot"}, "is not a number of tokens"),
    ({"framework": "torchtitan"}, "does not say its FSDP"),
    ({"framework": "llama.cpp"}, "size of its weight file"),
    ({"framework": "Megatron-DeepSpeed", "config": "DP1 TP1 PP1 MBS1 GBS1 hidden 1024"},
     "neither its layers nor its parameters"),
    ({"model": "no such model"}, "no such model"),
])
def test_rows_that_do_not_say_enough(change, message):
    with pytest.raises(BadInput, match=message):
        peak_of(ROW | change)
