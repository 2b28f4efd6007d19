"""The examples of sensor series reach what they claim."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, data: str, folder: Path) -> str:
    """What an example prints; skipped where its data cannot be had."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from real_data import Unreachable

        try:
            importlib.import_module(f"real_data.{data}").folder()
        except Unreachable as reason:
            pytest.skip(str(reason))
    finally:
        sys.path.remove(str(EXAMPLES))
    python_path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=folder, env={**os.environ, "PYTHONPATH": python_path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_real_series_are_told_apart(tmp_path):
    printed = run("sensors", "motions", tmp_path)
    reached = {name: float(value) for name, value in re.findall(r"(\w+): accuracy ([\d.]+)", printed)}
    assert reached["BasicMotions"] == 1
    assert reached["ItalyPowerDemand"] >= 0.94


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_faults_of_the_plant_are_found_and_named(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("pyarrow")
    printed = run("plant", "plant", tmp_path)
    assert float(re.findall(r"AUROC ([\d.]+)", printed)[0]) >= 0.88
    reached, baseline = (float(value) for value in re.findall(r"accuracy ([\d.]+)", printed))
    assert reached > baseline
