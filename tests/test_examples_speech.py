"""The examples of speech reach what they claim, on real data."""

from __future__ import annotations

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
        import importlib

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
@pytest.mark.timeout(3600)
def test_digits_are_heard_in_new_orders_and_from_new_voices(tmp_path):
    pytest.importorskip("soundfile")
    printed = run("recognition", "digit_strings", tmp_path)
    rates = [float(rate) for rate in re.findall(r"character error rate ([\d.]+)", printed)]
    assert rates[0] <= 0.05
    assert rates[1] <= 0.10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_spectrograms_are_nearer_than_the_mean_frame(tmp_path):
    pytest.importorskip("soundfile")
    printed = run("synthesis", "asterisk", tmp_path)
    reached, baseline = map(float, re.findall(r"mel L1 ([\d.]+), of the mean frame ([\d.]+)", printed)[0])
    assert reached < 0.8 * baseline
    assert (tmp_path / "spoken.wav").stat().st_size > 4000
