"""Ctrl-C at awkward moments; tests/test_kernel.py does it in a notebook, tests/test_progress.py in a terminal."""

from __future__ import annotations

import signal

import pytest
import torch
from lightning.pytorch import Callback

from fastgpu.history import History
from fastgpu.train.checkpoint import write


class Stops(Callback):
    """Ctrl-C at a hook, once."""

    def __init__(self, hook, epoch=None):
        def stop(trainer, module, *rest, **named):
            if (epoch is None or module.epoch == epoch) and not self.done:
                self.done = True
                signal.raise_signal(signal.SIGINT)

        self.done = False
        setattr(self, hook, stop)


@pytest.mark.parametrize(
    "hook", ["setup", "on_fit_start", "on_train_batch_end", "on_validation_batch_end", "on_history_row", "on_train_end"]
)
def test_the_learner_goes_on(make, hook):
    learn, stops = make(), Stops(hook)
    heard = signal.getsignal(signal.SIGINT)
    history = learn.fit(2, callbacks=stops)
    assert stops.done
    assert isinstance(history, History)
    assert history.interrupted
    assert signal.getsignal(signal.SIGINT) is heard, "the next Ctrl-C is heard as well"
    assert len(learn.predict()) == 100
    learn.fit(2)
    assert learn.history.epoch == list(range(1, len(learn.history) + 1)), "no epoch twice, none left out"
    assert not learn.history.interrupted


class StopsWriting(Callback):
    """Ctrl-C, once or more, while the first checkpoint `last` is written."""

    def __init__(self, times):
        self.times = times

    def state_dict(self):
        while self.times:
            self.times -= 1
            signal.raise_signal(signal.SIGINT)
        return {}


@pytest.mark.parametrize(
    ("stops", "kept"),
    [(Stops("on_history_row", epoch=1), [1, 2]), (StopsWriting(times=1), [1]), (StopsWriting(times=2), [])],
    ids=["at the row", "at the checkpoint", "twice"],
)
def test_an_interrupt_between_an_epochs_row_and_its_checkpoint(make, out, stops, kept):
    """The first is held, so that a row that is shown is kept; a second ends at once."""
    learn = make(name="run")
    assert learn.fit(3, callbacks=stops).epoch == kept
    assert learn.history.interrupted
    assert len((out / "run" / "history.csv").read_text().splitlines()) == 1 + len(kept)
    assert not list((out / "run" / "checkpoints").glob("*.partial"))
    learn.fit(3 - len(kept))
    whole = make(name="whole")
    whole.fit(3)
    assert learn.history["val_loss"] == whole.history["val_loss"], "as if there had been no interrupt"


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match="^$"):
            write(tmp_path / "model", {"w": torch.zeros(2)}, {})
    assert not list(tmp_path.iterdir())


def test_an_interrupt_in_the_first_epoch_of_a_network_that_was_cut(make):
    """There is no state to go on from, only weights."""
    learn = make()
    learn.fit(1)
    learn.prune(0.5, epochs=1)
    before = {name: t.clone() for name, t in learn.module.state_dict().items()}
    assert len(learn.fit(2, callbacks=Stops("on_train_batch_end"))) == 0
    assert all(torch.equal(before[name], t) for name, t in learn.module.state_dict().items()), "the epoch in progress is dropped"
    assert learn.fit(1).epoch == [3]


def test_an_interrupt_before_there_is_a_run_folder(make, monkeypatch):
    learn = make()
    with monkeypatch.context() as patched:
        patched.setattr(learn.data, "setup", lambda stage: signal.raise_signal(signal.SIGINT))
        assert len(learn.fit(1)) == 0
    assert learn.fit(1).epoch == [1]


@pytest.mark.parametrize(("verb", "call"), [("evaluate", 2), ("predict", 1)])
def test_judging_is_ended_by_a_keyboard_interrupt(make, verb, call):
    learn, calls = make(), []

    def stop(module, given):
        calls.append(1)
        if len(calls) == call:  # evaluate tries a first batch by itself
            signal.raise_signal(signal.SIGINT)

    heard = signal.getsignal(signal.SIGINT)
    hook = learn.module.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt, match="^$"):
        getattr(learn, verb)()
    hook.remove()
    assert signal.getsignal(signal.SIGINT) is heard
    assert len(learn.predict()) == 100
