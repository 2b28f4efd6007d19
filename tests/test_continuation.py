"""Going on after a load, a failure or a change: epochs, best weights and settings stay true."""

from __future__ import annotations

import shutil

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from comparing import same_weights
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fastgpu import Learner, zoo
from fastgpu.errors import ArgumentError, FastGPUError


class Fail(pl.Callback):
    def on_train_batch_end(self, trainer, module, *rest):
        raise ZeroDivisionError("a callback of the user's own")


def test_a_run_folder_goes_on_from_its_last_state(make, digits, out):
    whole, part = make(lr=0.05), make(lr=0.05)
    whole.fit(5)
    part.fit(3)
    loaded = Learner.load(part.run_dir, digits, out=out, report=False, verbose=False)
    assert same_weights(loaded, part)
    loaded.fit(2)
    assert loaded.history.epoch == [1, 2, 3, 4, 5]
    assert same_weights(loaded, whole)


def test_epochs_count_on_without_any_state(make):
    learn = make()
    learn.fit(3)
    shutil.rmtree(learn.run_dir / "checkpoints")
    learn.fit(2, schedule="cosine")
    learn.fit(1)
    assert learn.history.epoch == [1, 2, 3, 4, 5, 6]
    assert learn.history["lr"][4] < 1e-6


def test_the_best_epoch_before_a_load_is_the_best_after_it(make, digits, out, tmp_path):
    learn = make()
    learn.fit(4)
    best = learn.evaluate()
    loaded = Learner.load(learn.save(tmp_path / "file"), digits, out=out, report=False, verbose=False)
    loaded.fit(2, lr=0.3)  # so much that it spoils the weights
    assert loaded.history["val_accuracy"][-1] < best["accuracy"]
    assert loaded.evaluate() == pytest.approx(best)


def test_a_failed_fit_leaves_no_trace(make):
    failed, plain = make("resnet10t"), make("resnet10t")
    failed.fit(2)
    plain.fit(2)
    with pytest.raises(ZeroDivisionError):
        failed.fit(1, callbacks=Fail())
    assert failed.history.epoch == [1, 2]
    failed.fit(1)
    plain.fit(1)
    assert same_weights(failed, plain)
    assert failed.history.history == plain.history.history


def test_a_failed_first_fit_after_a_load_keeps_the_state(make, digits, out, tmp_path):
    learn = make()
    learn.fit(2)
    loaded = Learner.load(learn.save(tmp_path / "file"), digits, out=out, report=False, verbose=False)
    with pytest.raises(ZeroDivisionError):
        loaded.fit(1, callbacks=Fail())
    loaded.fit(1)
    learn.fit(1)
    assert loaded.history.epoch == [1, 2, 3]
    assert same_weights(loaded, learn)


def test_what_was_frozen_stays_frozen_after_a_load(make, digits, out, tmp_path):
    learn = make("resnet10t").freeze()
    learn.fit(1)
    loaded = Learner.load(learn.save(tmp_path / "file"), digits, out=out, report=False, verbose=False)
    trained = {name for name, p in loaded.module.named_parameters() if p.requires_grad}
    assert trained == {"fc.weight", "fc.bias"}


def test_fine_tune_leaves_frozen_what_the_user_froze(make):
    learn = make("resnet10t")
    learn.module.conv1.requires_grad_(False)
    learn.fine_tune(1)
    assert not any(p.requires_grad for p in learn.module.conv1.parameters())
    for wrong in ({"lr_mult": 0}, {"epochs": 0}, {"base_lr": -1.0}):
        before = len(learn.history)
        with pytest.raises(ArgumentError, match="came"):
            learn.fine_tune(**wrong)
        assert len(learn.history) == before


def test_a_network_made_for_pretrained_weights_is_rebuilt_as_it_was():
    facts = {"kind": "image", "channels": 1, "size": (8, 8)}
    assert zoo.build("resnet18", facts, 10).net.conv1.stride == (1, 1)
    assert zoo.build("resnet18", facts, 10, "layout").net.conv1.stride == (2, 2)


@pytest.mark.parametrize("weights", [{0: 2.0, 3: 5.0}, "balanced", [1.0] * 10, None])
def test_class_weights_may_change_on_load(make, digits, out, tmp_path, weights):
    learn = make(class_weight={0: 2.0})
    learn.fit(1)
    loaded = Learner.load(learn.save(tmp_path / "file"), digits, out=out, report=False, verbose=False, class_weight=weights)
    loaded.fit(1)
    again = Learner.load(loaded.save(tmp_path / "again"), digits, out=out, report=False, verbose=False)
    assert again.evaluate() == pytest.approx(loaded.evaluate())


def test_one_metric_object_is_heeded_and_two_of_a_name_refused(make):
    from torchmetrics.classification import MulticlassF1Score, MulticlassRecall

    learn = make(metrics=MulticlassF1Score(10))
    learn.fit(1)
    assert list(learn.history.history) == ["loss", "f1score", "val_loss", "val_f1score", "lr"]
    each = make(metrics=MulticlassRecall(10, average=None))
    each.fit(1)
    assert "val_recall_9" in each.history.history
    with pytest.raises(ArgumentError, match="Two are 'f1score'"):
        make(metrics=[MulticlassF1Score(10), MulticlassF1Score(10, average="micro")])


def test_evaluate_and_predict_take_what_the_learner_was_made_from(make, digits):
    x, y = torch.from_numpy(digits[0][0]), torch.from_numpy(digits[0][1])
    data = TensorDataset(x, y)
    learn = make(data=data, validation_split=None)
    learn.fit(1)
    expected = learn.evaluate((x, y))
    assert learn.evaluate(data) == pytest.approx(expected)
    assert learn.evaluate(DataLoader(data, batch_size=7)) == pytest.approx(expected)
    assert learn.predict(data).labels == learn.predict(x).labels


def test_arrays_are_judged_after_training_on_a_table_with_a_named_target(make):
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "price": rng.normal(size=60)})
    learn = make(data=frame, target="price")
    learn.fit(1)
    assert learn.evaluate((frame[["a"]].to_numpy(), frame["price"].to_numpy()))["loss"] > 0


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.n):
            x = torch.rand(4, generator=generator)
            yield x, int(x.sum() > 2)


def test_streams_of_unknown_length_train_with_schedules_and_are_judged(make):
    learn = make(data=(Stream(96), Stream(32)))
    history = learn.fit(4, schedule="linear")
    assert history["lr"] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4], rel=1e-2)
    assert len(learn.predict()) == 32
    accumulated = make(data=(Stream(90), Stream(32)), accumulate=4, batch_size=8)
    assert len(accumulated.fit(2)) == 2


def test_patience_needs_validation_data_and_serves_every_kind_of_fit(make, digits):
    with pytest.raises(ArgumentError, match="patience looks at val_accuracy. The data have no val split"):
        make(data=digits[0], validation_split=None, patience=2).fit(1)
    learn = make(lr=1e-12, patience=1)
    assert len(learn.fit_one_cycle(6)) == 2


def test_numpy_numbers_are_numbers(make):
    learn = make(lr=np.float64(1e-3), accumulate=np.int64(2))
    learn.fit(1)
    assert "lr: 0.001" in (learn.run_dir / "args.yaml").read_text()


WRONG = {
    "class_weight": ["balance", 3, [1.0]],
    "logger": [5],
    "precision": [[1]],
    "name": [5],
    "compile": ["yes"],
    "augment": ["no"],
    "metrics": [{"a": 1}, 5],
    "clip": [0, "1"],
    "lr": [0, -1, "fast", True],
    "batch_size": [0, 2.5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_wrong_values_get_one_line(make, out, name, value):
    with pytest.raises(FastGPUError, match=f"{name.split('_')[0]}|{name.capitalize()[:-1]}"):
        make(**{name: value})
    assert not out.exists()


def test_a_failing_logger_never_stops_training(make, out):
    class Broken(pl.loggers.CSVLogger):
        def log_metrics(self, *args, **kwargs):
            raise OSError("the disk is full")

    learn = make(logger=[Broken(out), "csv"])
    with pytest.warns(UserWarning, match="Broken failed and is left out.*disk is full"):
        learn.fit(2)
    assert len(learn.history) == 2
    assert len((learn.run_dir / "csv" / "metrics.csv").read_text().splitlines()) == 3


def test_classes_named_by_digits_are_meant_by_their_number(make, digits):
    x, y = digits[0]
    keep = (y == 1) | (y == 2)
    learn = make(data=(x[keep], y[keep].astype(str)), validation_split=None)
    learn.fit(8)
    assert learn.evaluate((x[keep], y[keep]))["accuracy"] == learn.evaluate((x[keep], y[keep].astype(str)))["accuracy"] > 0.9


def test_a_rare_label_may_fall_into_validation(make):
    targets = np.empty(40, dtype=object)
    targets[:] = [["common"]] * 40
    for seed in range(8):
        targets[seed] = ["common", "rare"] if seed == 0 else ["common"]
        learn = make(data=(np.random.default_rng(0).normal(size=(40, 3)), targets), seed=seed)
        assert learn.data.classes == ("common", "rare")


def test_many_small_tensors_are_saved_quickly_enough_to_scale(make, tmp_path):
    """The work grows with the number of tensors, not with its square: counted, not timed."""
    from fastgpu.train import checkpoint

    class Counted(dict):
        walked = 0

        def values(self):
            Counted.walked += len(self)
            return super().values()

    tensors = Counted()
    checkpoint._encode({"list": [torch.zeros(2) for _ in range(300)]}, tensors, set())
    assert len(tensors) == 300
    assert Counted.walked == 0
