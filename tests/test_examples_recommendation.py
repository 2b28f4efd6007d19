"""The figures of the recommendation example, on MovieLens 100K."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_recommendation(tmp_path):
    pytest.importorskip("pandas")
    sys.path.insert(0, str(EXAMPLES))
    try:
        from real_data import Unreachable
        from real_data.movielens import folder

        folder()
    except Unreachable as error:
        pytest.skip(str(error))
    finally:
        sys.path.remove(str(EXAMPLES))
    done = subprocess.run(
        [sys.executable, EXAMPLES / "recommendation.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.findall(r"HR@10 ([\d.]+)  NDCG@10 ([\d.]+)", done.stdout)
    popularity, ours = ([float(v) for v in row] for row in found)
    assert float(re.search(r"AUC ([\d.]+)", done.stdout).group(1)) >= 0.78
    assert ours[0] > popularity[0]
    assert ours[1] > popularity[1]
