"""Two real processes: the launcher of Lightning, and torchrun."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import atexit, json, os, sys, torch
torch.set_num_threads(1)
rank = os.environ.get("LOCAL_RANK", "0")
# The first to be registered is called last. A thread of Gloo that is left then may abort the process.
atexit.register(lambda: open(sys.argv[4] + "group." + rank, "w").write(str(torch.distributed.is_initialized())))
from fastgpu import Learner
from fastgpu.data import sources
train = sources.load("digits").splits["train"]
data = ((train.x[:207], train.y[:207]), (train.x[207:304], train.y[207:304]))  # odd sizes
learn = Learner("mlp", data, out=sys.argv[1], optimizer="sgd", batch_size=int(sys.argv[2]), **json.loads(sys.argv[3]))
learn.fit(2)
learn.fit(1)
weights = sum(p.double().abs().sum().item() for p in learn.module.parameters())
found = {"weights": weights, "history": learn.history.history, "evaluate": learn.evaluate(), "run": str(learn.run_dir)}
json.dump(found, open(sys.argv[4] + rank, "w"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_processes_train_as_one(tmp_path, launcher):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    def run(command, batch_size, settings, name):
        done = subprocess.run(
            [*command, str(script), str(tmp_path / name), str(batch_size), json.dumps(settings), str(tmp_path / f"{name}.")],
            capture_output=True, text=True, timeout=280, check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    run([sys.executable], 20, {}, "one")
    if launcher == "lightning":
        run([sys.executable], 10, {"devices": 2, "strategy": "ddp"}, "two")
    else:
        run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"], 10, {"strategy": "ddp"}, "two")
    one = json.loads((tmp_path / "one.0").read_text())
    ranks = [json.loads((tmp_path / f"two.{rank}").read_text()) for rank in (0, 1)]
    assert [(tmp_path / f"two.group.{rank}").read_text() for rank in (0, 1)] == ["False", "False"]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["weights"] == pytest.approx(one["weights"], rel=1e-5)
    assert ranks[0]["run"] == ranks[1]["run"]
    for key, values in one["history"].items():
        assert ranks[0]["history"][key] == pytest.approx(values, rel=1e-3), key
    assert ranks[0]["evaluate"] == pytest.approx(one["evaluate"], rel=1e-3)
    [folder] = (tmp_path / "two").iterdir()  # one run folder, not one a process
    assert {"report.html", "worst.png", "confusion_matrix.png"} <= {path.name for path in folder.iterdir()}
