"""The examples of sentiment and translation reach the figures that the guide names."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def shown(name, data, folder, monkeypatch):
    """What an example prints; skipped where its data cannot be had."""
    pytest.importorskip("transformers")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from real_data import Unreachable

    try:
        importlib.import_module(f"real_data.{data}").folder()
    except Unreachable as reason:
        pytest.skip(str(reason))
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sentiment(tmp_path, monkeypatch):
    found = re.search(r"never seen: accuracy (0\.\d+)", shown("sentiment.py", "movie_reviews", tmp_path, monkeypatch))
    assert found is not None
    assert float(found[1]) >= 0.79


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_translation(tmp_path, monkeypatch):
    pytest.importorskip("babel")
    found = re.search(r"never seen: BLEU (\d+\.\d)", shown("translation.py", "gcc_messages", tmp_path, monkeypatch))
    assert found is not None
    assert float(found[1]) >= 50
