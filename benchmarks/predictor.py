"""What the first prediction of an exported file costs from the start of the process: `python -m benchmarks.predictor [--rounds 9]`.

A small network of the built-in digits is exported once; then, in a new process each round, one picture's file is predicted by
(a) the Predictor, (b) `fastgpu predict`, which also writes a table, (c) the Learner from its saved file.
Printed are medians of CPU time (user and system) and of the most memory that was resident, and what heavy packages were loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fastgpu import Learner

HEAVY = ("torch", "lightning", "timm", "pandas", "transformers", "matplotlib")
# Of Linux: getrusage would count what the parent had resident when it started the child.
MEASURE = (
    "\nimport json, os, re, sys; t = os.times(); memory = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
    f"print(json.dumps([t.user + t.system, int(memory) / 1024, [m for m in {HEAVY!r} if m in sys.modules]]))"
)


def measured(code: str) -> tuple[float, float, list[str]]:
    """CPU seconds, megabytes and heavy packages of a new process that runs some code."""
    done = subprocess.run([sys.executable, "-c", code + MEASURE], capture_output=True, text=True, check=True)
    seconds, megabytes, heavy = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes, heavy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        learn = Learner("mlp", "digits", out=Path(folder) / "runs", verbose=False)
        learn.fit(1)
        model, saved, picture = (str(Path(folder) / name) for name in ("model.onnx", "model.safetensors", "a.png"))
        learn.export(model, verify=False)
        learn.save(saved)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
        ways = {
            "Predictor": f"from fastgpu import Predictor; Predictor.load({model!r}).predict({picture!r})",
            "fastgpu predict": f"from fastgpu.cli import main; main(['predict', {model!r}, {picture!r}])",
            "Learner": f"from fastgpu import Learner; Learner.load({saved!r}, verbose=False).predict({picture!r})",
        }
        found: dict[str, list[tuple[float, float, list[str]]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, code in ways.items():
                found[name].append(measured(code))
    for name, values in found.items():
        seconds, megabytes = (statistics.median(column) for column in list(zip(*values))[:2])
        print(f"{name:<16} {seconds:6.2f} s of CPU  {megabytes:5.0f} MB  loaded: {', '.join(values[0][2]) or 'none of ' + ', '.join(HEAVY)}")


if __name__ == "__main__":
    main()
