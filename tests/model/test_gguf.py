import random

import gguf
import numpy as np
import pytest

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.model.gguf import architecture_from_gguf, read_gguf

# embedding and head 2 x 100 x 64; a layer: q, o 64 x 64, k, v 64 x 32, 3 x 64 x 128, 2 norms
PARAMS = 2 * 100 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.gguf"
    w = gguf.GGUFWriter(path, "llama")
    w.add_context_length(128)
    w.add_embedding_length(64)
    w.add_block_count(2)
    w.add_feed_forward_length(128)
    w.add_head_count(4)
    w.add_head_count_kv(2)
    w.add_token_list([f"t{i}" for i in range(100)])
    w.add_file_type(1)
    shapes = {"token_embd.weight": (100, 64), "output.weight": (100, 64),
              "output_norm.weight": (64,)}
    for i in range(2):
        shapes |= {f"blk.{i}.{n}.weight": s for n, s in (
            ("attn_q", (64, 64)), ("attn_k", (32, 64)), ("attn_v", (32, 64)),
            ("attn_output", (64, 64)), ("ffn_gate", (128, 64)), ("ffn_up", (128, 64)),
            ("ffn_down", (64, 128)), ("attn_norm", (64,)), ("ffn_norm", (64,)))}
    for name, shape in shapes.items():
        w.add_tensor(name, np.zeros(shape, np.float16 if len(shape) == 2 else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def test_counts_and_bytes_are_exact(tiny):
    file, arch = read_gguf(tiny), architecture_from_gguf(tiny)
    assert file.params == PARAMS == arch.total_params
    assert file.weight_bytes == 2 * PARAMS + 2 * (5 * 64)  # five norms in four bytes
    assert arch.weight_format == "fp16" and not arch.tied


def test_broken_files_are_bad_input(tiny):
    whole, rng = tiny.read_bytes(), random.Random(0)
    for _ in range(300):
        data = bytearray(whole[:rng.choice((rng.randrange(2500), len(whole)))])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(min(len(data), 2500))] = rng.randrange(256)
        tiny.write_bytes(bytes(data))
        try:
            architecture_from_gguf(tiny)
        except RidgelineError as error:
            assert "\n" not in str(error)


def test_not_gguf(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGML" + bytes(100))
    with pytest.raises(BadInput, match="does not start with GGUF"):
        read_gguf(tmp_path / "x.gguf")
