import json
import random

import numpy as np
import pytest
from safetensors.numpy import save_file

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.model.safetensors import checkpoint_bytes, checkpoint_count, read_safetensors


def test_folder_with_index(tmp_path):
    save_file({"a": np.zeros((3, 5), np.float16)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros((7,), np.float32)}, tmp_path / "two.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    assert checkpoint_count(tmp_path) == 3 * 5 + 7
    assert checkpoint_bytes(tmp_path) == {"F16": 30, "F32": 28}


def test_broken_files_are_bad_input(tmp_path):
    path, rng = tmp_path / "x.safetensors", random.Random(0)
    save_file({"a": np.zeros((3, 5), np.float16)}, path)
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole[:rng.choice((rng.randrange(len(whole)), len(whole)))])
        for _ in range(rng.randrange(3)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        try:
            read_safetensors(path)
        except RidgelineError as error:
            assert "\n" not in str(error)


def test_truncated(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros((3, 5), np.float16)}, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadInput, match="truncated"):
        read_safetensors(path)
