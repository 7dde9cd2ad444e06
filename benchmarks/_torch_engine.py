"""Measure this machine's PyTorch kernels, then run products, attention and whole models.

    python -m benchmarks._torch_engine PYTHON [RECORD.json]

PYTHON is an interpreter with PyTorch's CPU build. `torch_rows` makes predictions from a record. The
machine is measured before and after, the better of each point counting.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._vllm_engine import rounded
from ridgeline.measure.machine.host import cpu_host
from ridgeline.measure.machine.sweep import measure_machine, plan_kernels

RECORD = Path("tests/measure/engine/data/torch.json")
SHAPES = [[384, 4, 1024, 6, 2, 4096], [768, 6, 2048, 12, 4, 8192], [512, 6, 1408, 8, 2, 4096],
          [640, 8, 1792, 10, 2, 8192], [1024, 6, 2816, 16, 4, 8192]]
ASKED = {
    "models": [{"shape": s} for s in SHAPES], "prompts": [64, 256],
    "decodes": [[1, 64], [1, 512], [8, 64], [8, 512]], "trains": [[1, 128], [4, 128]],
    "matmuls": [[m, *kn] for kn in ([768, 2048], [512, 1408], [1024, 2816], [1024, 1024])
                for m in (1, 16, 256)],
    "attentions": [[1, 6, 128, 64], [1, 12, 512, 64], [1, 8, 256, 64], [2, 8, 256, 64],
                   [1, 10, 384, 64], [1, 16, 768, 64], [1, 8, 512, 128]]}


def machine(python, before=None):
    """PyTorch's kernels on one thread."""
    batch = plan_kernels(cpu_host("PyTorch"), "torch", ["fp32"], threads=1, costs=False)
    found = measure_machine(cpu_host("PyTorch"), [batch], budget=0.1, python=python)
    return before.best(found) if before else found


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else RECORD
    os.environ["PYTHONPATH"] = "src"
    found = machine(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        asked, answer = Path(name) / "asked.json", Path(name) / "answer.json"
        asked.write_text(json.dumps(ASKED))
        subprocess.run([sys.argv[1], "benchmarks/_torch_driver.py", str(asked), str(answer)],
                       check=True)
        record = {"references": 2, **json.loads(answer.read_text()),
                  "machine": machine(sys.argv[1], found).to_dict()}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rounded(record)) + "\n")


if __name__ == "__main__":
    main()
