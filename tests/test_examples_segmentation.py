"""The examples of segmentation and inspection reach their figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder):
    """What an example printed; skipped where its data cannot be had."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=5400, check=False)
    if "Unreachable" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_nuclei(tmp_path):
    pytest.importorskip("segmentation_models_pytorch")
    said = run("segmentation", tmp_path)
    assert float(re.search(r"mean IoU ([\d.]+)", said).group(1)) >= 0.93
    assert (tmp_path / "nuclei-0.png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_defects(tmp_path):
    said = run("inspection", tmp_path)
    images, pixels = (re.findall(rf"{kind} AUROC ([\d.]+)", said) for kind in ("image", "pixel"))
    assert len(images) == len(pixels) == 2
    assert all(float(value) >= 0.95 for value in images)
    assert all(float(value) >= 0.80 for value in pixels)
