"""The examples of detection and driving reach their figures."""

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
def test_digits_on_photographs(tmp_path):
    said = run("detection", tmp_path)
    assert float(re.search(r"mAP50 ([\d.]+)", said).group(1)) >= 0.85
    assert (tmp_path / "digit_scenes.png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_driving(tmp_path):
    said = run("driving", tmp_path)
    assert float(re.search(r"mAP50 ([\d.]+)", said).group(1)) >= 0.95
    assert float(re.search(r"mean IoU ([\d.]+)", said).group(1)) >= 0.90
    assert (tmp_path / "drive.gif").is_file()
