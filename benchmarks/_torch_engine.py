"""Predict PyTorch steps from two reference models, run others, record what was measured.

    python -m benchmarks._torch_engine PYTHON [RECORD.json]

PYTHON is an interpreter with PyTorch's CPU build. `torch_rows` makes predictions from a record.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._vllm_engine import rounded

RECORD = Path("tests/measure/engine/data/torch.json")
SHAPES = [[384, 4, 1024, 6, 2, 4096], [768, 6, 2048, 12, 4, 8192], [512, 6, 1408, 8, 2, 4096],
          [640, 8, 1792, 10, 2, 8192], [1024, 6, 2816, 16, 4, 8192]]
ASKED = {
    "models": [{"shape": s} for s in SHAPES], "prompts": [64, 256],
    "decodes": [[1, 64], [1, 512], [8, 64], [8, 512]], "trains": [[1, 128], [4, 128]],
    "matmuls": [[m, *kn] for kn in ([768, 2048], [512, 1408], [1024, 2816], [1024, 1024])
                for m in (1, 16, 256)],
    "attentions": [[1, 6, 128, 64], [1, 12, 512, 64], [1, 8, 256, 64], [2, 8, 256, 64],
                   [1, 10, 384, 64], [1, 16, 768, 64]]}


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else RECORD
    with tempfile.TemporaryDirectory() as name:
        asked, answer = Path(name) / "asked.json", Path(name) / "answer.json"
        asked.write_text(json.dumps(ASKED))
        subprocess.run([sys.argv[1], "benchmarks/_torch_driver.py", str(asked), str(answer)],
                       check=True)
        record = {"references": 2, **json.loads(answer.read_text())}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rounded(record)) + "\n")


if __name__ == "__main__":
    main()
