"""Going on after save, in a new process, after a kill, and after Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from comparing import heed_interrupts, same_weights

from fastgpu import Learner
from fastgpu.errors import CheckpointError

SCRIPT = """
import sys, numpy as np, torch
torch.set_num_threads(1)
from fastgpu import Learner
from fastgpu.data import sources
train = sources.load("digits").splits["train"]
data = ((train.x[:200], train.y[:200]), (train.x[200:300], train.y[200:300]))
"""


def python(code, *arguments, **settings):
    """A new process that runs `code`."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False, **settings
    )


def test_save_load_predict_in_another_process(make, digits, tmp_path):
    learn = make("resnet10t")
    learn.fit(2)
    path = learn.save(tmp_path / "model.safetensors")
    expected = learn.predict(digits[1][0]).probabilities
    done = python("np.save(sys.argv[2], Learner.load(sys.argv[1]).predict(data[1][0]).probabilities)", path, tmp_path / "p.npy")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), expected)


@pytest.mark.parametrize("architecture", ["mlp", "mobilenetv3_small_050"])
def test_save_load_fit_in_another_process_equals_an_uninterrupted_fit(make, out, tmp_path, architecture):
    whole, part = make(architecture, lr=0.01), make(architecture, lr=0.01)
    whole.fit(5)
    part.fit(3)  # the best epoch need not be the last: fit goes on from the last all the same
    path = part.save(tmp_path / "part")
    done = python(
        "l = Learner.load(sys.argv[1], data, report=False, verbose=False, out=sys.argv[3]); l.fit(2); l.save(sys.argv[2])",
        path, tmp_path / "whole", out,
    )
    assert done.returncode == 0, done.stderr
    assert same_weights(whole, Learner.load(tmp_path / "whole"))
    assert Learner.load(tmp_path / "whole").history.history == whole.history.history


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_a_killed_fit_loses_only_the_epoch_in_progress(make, out, tmp_path, schedule):
    whole = make("mobilenetv3_small_050")
    whole.fit(12, schedule=schedule)
    code = "Learner('mobilenetv3_small_050', data, out=sys.argv[1], name='killed').fit(12, schedule=sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-u", "-c", SCRIPT + code, out, schedule], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "4/12" in line:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    done = len((out / "killed" / "history.csv").read_text().splitlines()) - 1
    assert 4 <= done < 12
    resumed = make("mobilenetv3_small_050")
    resumed.fit(12, resume=out / "killed")
    assert resumed.history.history == whole.history.history
    assert same_weights(whole, resumed)
    assert resumed.run_dir == out / "killed"
    with pytest.raises(CheckpointError, match="nothing to resume"):
        make("mobilenetv3_small_050").fit(12, resume=out / "killed")


def test_resume_true_takes_the_newest_run(make, out):
    learn = make(name="mine")
    learn.fit(1)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        make(name="mine").fit(1, resume=True)
    with pytest.raises(CheckpointError, match="newest run of 'other'. There is none"):
        make(name="other").fit(1, resume=True)
    with pytest.raises(CheckpointError, match="resumed by its own architecture"):
        make("resnet10t").fit(1, resume=learn.run_dir)


@pytest.mark.parametrize("first_epoch", [True, False])
def test_ctrl_c_keeps_a_usable_learner_and_says_how_to_go_on(out, first_epoch):
    code = """
import lightning.pytorch as pl, os, signal
class Stop(pl.Callback):
    def on_train_batch_end(self, trainer, module, *rest):
        if trainer.current_epoch == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGINT)
learn = Learner("mlp", data, out=sys.argv[1])
history = learn.fit(5, callbacks=Stop())
print("rows", len(history), history.interrupted, (learn.run_dir / "checkpoints" / "last").is_file(), len(learn.predict(data[0][0][:3])))
learn.fit(5 - len(history))
whole = Learner("mlp", data, out=sys.argv[1], report=False, verbose=False)
whole.fit(5)
print("same", all(torch.equal(a, b) for a, b in zip(whole.module.parameters(), learn.module.parameters())))
"""
    done = python(code, out, 0 if first_epoch else 2, preexec_fn=heed_interrupts)
    assert done.returncode == 0, done.stderr
    rows = 0 if first_epoch else 2
    assert f"interrupted: the epoch in progress is dropped; fit({5 - rows}, callbacks=...) goes on" in done.stdout
    assert f"rows {rows} True True 3" in done.stdout
    assert "same True" in done.stdout


def test_load_takes_a_run_folder_a_checkpoint_or_a_file(make, tmp_path):
    learn = make(lr=0.05)
    learn.fit(3)
    for path in (learn.run_dir, learn.run_dir / "checkpoints", learn.run_dir / "checkpoints" / "best", learn.save(tmp_path / "file")):
        assert same_weights(learn, Learner.load(path))


def test_only_plain_data_is_saved(make, tmp_path):
    from safetensors import safe_open

    learn = make()
    learn.fit(1)
    with safe_open(learn.save(tmp_path / "file"), framework="pt") as file:
        names = [name for name in file.keys() if not name.startswith("training/")]
    assert sorted(names) == sorted(learn.module.state_dict())


def test_tied_weights_are_saved_once_and_come_back_tied(make, tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(64, 64)
            self.b = torch.nn.Linear(64, 64)
            self.b.weight = self.a.weight
            self.head = torch.nn.Linear(64, 10)

        def forward(self, x):
            return self.head(self.b(self.a(x.flatten(1))))

    learn = make(Tied())
    learn.fit(2)
    loaded = Learner.load(learn.save(tmp_path / "tied"), architecture=Tied())
    assert same_weights(learn, loaded)
    assert loaded.module.a.weight is loaded.module.b.weight


def test_objects_that_are_not_saved_are_asked_for(make, digits, tmp_path):
    learn = make(loss=torch.nn.CrossEntropyLoss(label_smoothing=0.1))
    learn.fit(1)
    path = learn.save(tmp_path / "file")
    loaded = Learner.load(path, digits, report=False, verbose=False)
    assert len(loaded.predict(digits[1][0])) == 100
    with pytest.raises(ValueError, match=r"loss was an object of your own.*load\(path, loss=...\)"):
        loaded.evaluate()
    again = Learner.load(path, digits, report=False, verbose=False, loss=torch.nn.CrossEntropyLoss(label_smoothing=0.1))
    assert again.evaluate() == pytest.approx(learn.evaluate())


def test_the_last_checkpoint_is_whole_at_any_moment_of_a_kill(out):
    """Kill at random moments: what is there always loads."""
    code = "Learner('resnet10t', data, out=sys.argv[1], name='run').fit(500)"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT + code, out], stdout=subprocess.DEVNULL)
    last = out / "run" / "checkpoints" / "last"
    began = time.monotonic()
    while not last.is_file() and time.monotonic() - began < 60:
        time.sleep(0.05)
    for _ in range(20):
        time.sleep(0.037)
        Learner.load(last)
    process.kill()
    process.wait()
    assert len(Learner.load(last).history) >= 1
