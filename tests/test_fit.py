"""fit: continuing, best weights, schedules, freezing, and what each argument does to real training."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from comparing import same_weights
from lightning.pytorch.callbacks import ModelPruning
from torch import nn

from fastgpu import Learner
from fastgpu.callbacks import EarlyStopping
from fastgpu.errors import ArgumentError, NonFiniteLossError
from fastgpu.train.checkpoint import read
from fastgpu.train.schedules import SCHEDULES

ARCHITECTURES = ["mlp", "resnet10t", "mobilenetv3_small_050"]  # no state, batch norm, dropout with depthwise layers


def test_history_has_keras_names_and_one_value_an_epoch(make):
    learn = make()
    history = learn.fit(3)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    assert all(len(values) == 3 for values in history.history.values())
    assert learn.history.epoch == [1, 2, 3]


def test_learns_real_digits(make):
    learn = make()
    learn.fit(12)
    assert learn.evaluate()["accuracy"] > 0.9


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_fits_equal_one_to_the_bit(make, architecture):
    whole = make(architecture)
    whole.fit(5)
    parts = make(architecture)
    first = parts.fit(3)
    parts.evaluate()
    parts.predict()
    torch.rand(7)  # the user's own randomness between two fits
    second = parts.fit(2)
    assert same_weights(whole, parts)
    assert whole.history.history == parts.history.history
    assert (len(first), len(second), second.epoch) == (3, 2, [4, 5])
    assert parts.trainer.current_epoch == 5


def test_the_users_randomness_is_left_as_it_was(make):
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(2), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    make("mobilenetv3_small_050").fit(1)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.rand() == expected[1]


def test_best_weights_are_in_place_and_the_last_go_on(make):
    whole, parts = make(lr=0.05), make(lr=0.05)
    whole.fit(6)
    parts.fit(4)
    best = parts.history.best("val_accuracy", higher_is_better=True)
    assert parts.evaluate()["accuracy"] == pytest.approx(best["val_accuracy"])
    parts.fit(2)
    assert whole.history.history == parts.history.history


def test_without_validation_the_last_weights_stay(make, digits):
    learn = make(data=digits[0], validation_split=None)
    history = learn.fit(2)
    assert list(history.history) == ["loss", "accuracy", "lr"]
    saved = read(learn.run_dir / "checkpoints" / "last").weights
    assert all(torch.equal(saved[k], v) for k, v in learn.module.state_dict().items())


def test_one_line_says_which_weights_are_in_place(digits, out, capsys):
    Learner("mlp", digits, out=out).fit(2)
    printed = capsys.readouterr().out
    assert printed.count("weights: epoch") == 1
    assert "epoch 2/2" not in printed
    assert "2/2" in printed


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_each_fit_runs_its_whole_schedule(make, schedule):
    learn = make()
    one, two = learn.fit(2, schedule=schedule), learn.fit(2, schedule=schedule)
    assert one["lr"] == two["lr"]
    if schedule != "constant":
        assert one["lr"][-1] < learn.lr / 100


def test_a_schedule_may_be_a_function(make):
    assert make().fit(1, lr=1.0, schedule=lambda progress: 1e-3 * (1 + progress))["lr"] == [pytest.approx(2e-3)]


def test_fit_one_cycle_ends_near_zero(make):
    assert make().fit_one_cycle(2, 1e-2)["lr"][-1] < 1e-6


def test_changed_weights_are_trained_on(make, digits, out, capsys):
    learn = Learner("mlp", digits, out=out)
    learn.fit(2)
    with torch.no_grad():
        for parameter in learn.module.parameters():
            parameter.zero_()
    learn.fit(1, lr=1e-9)
    assert "changed since the last fit" in capsys.readouterr().out
    assert learn.history["val_loss"][-1] == pytest.approx(math.log(10), abs=1e-3)


def test_a_missing_state_file_costs_only_the_optimizers_state(digits, out, capsys):
    learn = Learner("mlp", digits, out=out)
    learn.fit(2)
    (learn.run_dir / "checkpoints" / "last").unlink()
    before = learn.history["val_loss"][-1]
    learn.fit(1)
    assert "is gone" in capsys.readouterr().out
    assert learn.history["val_loss"][-1] < before


def test_freeze_keeps_weights_and_statistics_to_the_bit(make):
    learn = make("resnet10t")
    before = {k: v.clone() for k, v in learn.module.state_dict().items()}
    learn.freeze().fit(1)
    after = learn.module.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {"fc.weight", "fc.bias"}
    learn.unfreeze().fit(1)
    assert not torch.equal(before["conv1.0.weight"], learn.module.state_dict()["conv1.0.weight"])


def test_fine_tune_trains_the_head_first_and_early_layers_slowest(make):
    learn = make("resnet10t")
    history = learn.fine_tune(1, 1e-3, freeze_epochs=2)
    assert len(history) == 3
    assert all(p.requires_grad for p in learn.module.parameters())
    plan = read(learn.run_dir / "checkpoints" / "last").facts["plan"]
    assert plan["lr_shares"] == [0.01, 0.1, 1.0]
    assert plan["lr"] == 5e-4


def test_accumulation_equals_a_larger_batch(make, digits):
    """Without batch statistics, 3 batches of 10 and one of 30 are the same step; the last window is shorter."""
    big = make(data=digits[0], validation_split=None, batch_size=30, optimizer="sgd")
    small = make(data=digits[0], validation_split=None, batch_size=10, accumulate=3, optimizer="sgd")
    big.fit(2)
    small.fit(2)
    for a, b in zip(big.module.parameters(), small.module.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_clip_bounds_a_step(make):
    def moved(**settings):
        learn = make(optimizer=torch.optim.SGD, lr=1.0, batch_size=200, validation_split=None, **settings)
        before = [p.detach().clone() for p in learn.module.parameters()]
        learn.fit(1)
        return math.sqrt(sum((a - b).pow(2).sum().item() for a, b in zip(before, learn.module.parameters())))

    assert moved(clip=0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved() > 0.05


def test_patience_ends_a_fit_and_counts_anew(make):
    learn = make(lr=1e-12)  # nothing improves
    assert len(learn.fit(9, patience=2)) == 3
    assert len(learn.fit(9, patience=2)) == 3


def test_max_time_ends_a_fit_and_counts_anew(make):
    learn = make()
    assert len(learn.fit(100_000, max_time=0.5)) < 100_000
    assert len(learn.fit(3)) == 3


def test_float64_from_input_to_results(make):
    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60.0)
    learn = make(data=(x, y), precision="64-true")
    learn.fit(1)
    assert {p.dtype for p in learn.module.parameters()} == {torch.float64}
    assert learn.predict(x[:2]).values.dtype == np.float64


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32"])
def test_precisions_train(make, precision):
    assert make(precision=precision).fit(1)["val_accuracy"][0] > 0.1


def test_auto_precision_on_a_cpu_is_single(make):
    learn = make(devices="cpu")
    learn.fit(1)
    assert learn.trainer.precision == "32-true"


@pytest.mark.slow
def test_compile_trains_and_leaves_names_alone(make):
    plain, compiled = make(), make(compile=True)
    plain.fit(2)
    compiled.fit(2)
    assert compiled.module.state_dict().keys() == plain.module.state_dict().keys()
    for a, b in zip(plain.module.parameters(), compiled.module.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_class_weight_balanced_lifts_a_rare_class(make):
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.05).astype(int)
    x = rng.normal(size=(600, 4)) + 0.8 * y[:, None]
    found = [make(data=(x, y), class_weight=w, metrics=["recall"], lr=1e-2) for w in (None, "balanced", {1: 20.0})]
    plain, balanced, given = (learn.fit(4)["val_recall"][-1] for learn in found)
    assert balanced > plain
    assert given > plain


def test_objects_go_where_names_go(make):
    from torchmetrics.classification import MulticlassF1Score

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    learn = make(
        net,
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        metrics=[MulticlassF1Score(10)],
        optimizer=lambda params: torch.optim.RMSprop(params, lr=1e-3),
        callbacks=pl.callbacks.LearningRateMonitor(),
        logger="csv",
        strategy=pl.strategies.SingleDeviceStrategy(device="cpu"),
    )
    learn.fit(2)
    assert learn.module is net
    assert "val_f1score" in learn.history.history


def test_lightnings_callbacks_see_the_epochs_and_metrics(make, tmp_path):
    seen = []

    class Spy(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append((trainer.current_epoch, float(trainer.callback_metrics["val_accuracy"]), trainer.global_step))

    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path / "ckpt", monitor="val_loss")
    learn = make(callbacks=[Spy(), checkpoint])
    learn.fit(2)
    learn.fit(1)
    assert [epoch for epoch, _, _ in seen] == [0, 1, 2]
    assert [step for _, _, step in seen] == [25, 50, 75]  # 200 items in batches of 8
    assert [value for _, value, _ in seen] == pytest.approx(learn.history["val_accuracy"])
    loaded = Learner.load(checkpoint.best_model_path)  # Lightning's checkpoints are learners too
    assert len(loaded.predict(np.zeros((2, 8, 8), np.uint8))) == 2


def test_lightnings_early_stopping_counts_anew(make):
    stop = pl.callbacks.EarlyStopping("val_loss", patience=2, min_delta=1e9)
    learn = make(callbacks=stop)
    assert [len(learn.fit(9)), len(learn.fit(9))] == [3, 3]


def test_nan_loss_names_step_and_cure_and_restores_the_weights(make, digits):
    learn = make()
    learn.fit(2)
    last = read(learn.run_dir / "checkpoints" / "last").weights
    with pytest.raises(NonFiniteLossError, match=r"epoch 3, batch \d+ of 25.*lower lr"):
        learn.fit(2, lr=1e30)
    assert all(torch.equal(last[k], v) for k, v in learn.module.state_dict().items())
    assert len(learn.fit(1)) == 1


def test_lr_find_changes_nothing(make):
    searched, plain = make("resnet10t"), make("resnet10t")
    before = torch.get_rng_state()
    found = searched.lr_find(steps=30)
    assert torch.equal(before, torch.get_rng_state())
    assert 1e-7 <= found.valley <= 10
    assert len(found.plot().axes) == 1
    searched.fit(2)
    plain.fit(2)
    assert same_weights(searched, plain)
    with pytest.raises(ArgumentError, match="0 < start < end"):
        searched.lr_find(start=1, end=0.1)


def test_summary_counts_parameters(make):
    assert "9.6 K" in str(make().summary())


def test_loggers_by_name_go_on_over_two_fits(make):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    learn = make(logger=["csv", "tensorboard"])
    learn.fit(2)
    learn.fit(1)
    rows = (learn.run_dir / "csv" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4
    events = EventAccumulator(str(learn.run_dir / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("val_loss")] == [
        (step, pytest.approx(value)) for step, value in zip((25, 50, 75), learn.history["val_loss"])
    ]


def test_a_callback_that_renames_parameters_meanwhile(make):
    learn = make("mlp")
    layers = [(layer, "weight") for layer in learn.module.modules() if isinstance(layer, nn.Linear)]
    learn.fit(2, callbacks=[ModelPruning("l1_unstructured", layers, amount=0.5)])
    assert np.isfinite(learn.evaluate()["loss"])
    again = Learner.load(learn.run_dir)
    assert same_weights(learn, again)
    learn.fit(1)


def test_numbers_of_numpy_are_numbers(make, digits, out):
    weights = np.linspace(1, 2, 10)
    learn = make(class_weight=list(weights), patience=np.int64(3), lr=np.float32(0.01), callbacks=EarlyStopping(np.int32(2)), logger="csv")
    learn.fit(np.int64(2), max_time=np.float64(60), patience=np.int64(3), lr=np.float32(0.01))
    learn.fit(1, max_time=np.float32(60))
    args = yaml.safe_load((learn.run_dir / "args.yaml").read_text())
    assert (args["class_weight"], args["patience"], args["max_time"], args["epochs"]) == (weights.tolist(), 3, 60.0, 2)
    loaded = Learner.load(learn.save(out / "kept"), digits, verbose=False)
    assert loaded.settings.class_weight == weights.tolist()
    assert make(class_weight=weights).arguments()["class_weight"] == weights.tolist()
    with pytest.raises(ArgumentError, match="patience is a whole number of epochs, at least 1. np.float64.2.5. came"):
        learn.fit(1, patience=np.float64(2.5))
