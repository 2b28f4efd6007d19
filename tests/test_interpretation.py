"""interpret(): its numbers are those of evaluate() and of the data; every kind of data and loss; bad calls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_inspection import Copy
from test_verbs import Plain, data_of
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fastgpu import Learner
from fastgpu.errors import ArgumentError, DataError, MissingColumnError, UnknownNameError
from fastgpu.interpretation import ClassInterpretation
from fastgpu.interpreting import interpret


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    learn = Learner("mlp", digits, out=tmp_path_factory.mktemp("runs"), verbose=False, report=False)
    learn.fit(3)
    return learn


def test_the_numbers_are_those_of_evaluate_and_of_the_data(trained, digits):
    seen, judged = trained.interpret(), trained.evaluate()
    np.testing.assert_array_equal(seen.targets, digits[1][1])
    np.testing.assert_allclose(seen.probabilities, trained.predict().probabilities, rtol=1e-5, atol=1e-6)
    assert seen.losses.mean() == pytest.approx(judged["loss"], rel=1e-5)
    assert seen.losses == pytest.approx(-np.log(seen.probabilities[np.arange(100), seen.targets]), rel=1e-3, abs=1e-5)
    counts = seen.confusion_matrix()
    assert np.trace(counts) / counts.to_numpy().sum() == pytest.approx(judged["accuracy"])
    wrong = seen.most_confused()
    assert wrong["count"].sum() == 100 - np.trace(counts)
    first = wrong.iloc[0]
    assert counts.loc[first["truth"], first["predicted"]] == first["count"] == wrong["count"].max()
    assert (seen.most_confused(min_count=2)["count"] >= 2).all()
    assert len(seen.most_confused(min_count=2)) < len(wrong)


def test_the_worst_items_come_first_and_can_be_drawn(trained):
    seen = trained.interpret()
    worst = seen.top_losses(5)
    assert worst["loss"].tolist() == sorted(seen.losses, reverse=True)[:5]
    i = worst.index[0]
    assert (worst["truth"][i], worst["predicted"][i]) == (seen.truth(i), seen.predicted(i))
    assert worst["probability"][i] == seen.probabilities[i].max()
    figure = seen.plot_top_losses(5)
    assert len(figure.axes) == 5
    drawn = figure.axes[0].images[0].get_array() * 255
    np.testing.assert_allclose(drawn, seen.items.plain(i)[..., 0], atol=0.51)
    assert str(seen.truth(i)) in figure.axes[0].get_title()


def test_classes_and_calibration_add_up(trained):
    seen = trained.interpret()
    classes, counts = seen.per_class(), seen.confusion_matrix()
    assert classes["support"].tolist() == counts.to_numpy().sum(1).tolist()
    assert classes.loc[0, "recall"] == pytest.approx(counts.loc[0, 0] / counts.loc[0].sum())
    assert classes.loc[0, "precision"] == pytest.approx(counts.loc[0, 0] / counts[0].sum())
    table = seen.calibration()
    assert table["count"].sum() == len(seen)
    gaps = ((table["confidence"] - table["accuracy"]).abs() * table["count"]).sum() / len(seen)
    assert gaps == pytest.approx(seen.calibration_error, abs=1e-6)
    assert len(seen.calibration(bins=1)) == 1


def test_curves_end_where_curves_end(trained):
    curves = trained.interpret().curves()
    assert set(curves.areas.index) == set(range(10))
    one = curves.roc[curves.roc["class"] == 3]
    assert (one.iloc[0]["true_positive_rate"], one.iloc[-1]["false_positive_rate"]) == (0, 1)
    area = np.trapezoid(one["true_positive_rate"], one["false_positive_rate"])
    assert area == pytest.approx(curves.areas.loc[3, "auroc"], abs=1e-5)
    assert curves.pr[curves.pr["class"] == 3]["recall"].is_monotonic_decreasing
    assert len(trained.interpret().curves(thresholds=5).pr) == 10 * 6


def test_a_class_without_items_costs_nothing(trained, digits):
    few = digits[1][0][:20], digits[1][1][:20] % 3  # of ten classes only three
    seen = trained.interpret(few)
    assert set(seen.curves().areas.index) <= {0, 1, 2}
    assert seen.per_class()["support"].iloc[3:].sum() == 0
    seen.plot_confusion_matrix().canvas.draw()


def test_slices_have_the_metrics_of_their_items(trained, digits):
    seen = trained.interpret()
    slices = seen.per_slice(["even" if y % 2 == 0 else "odd" for y in seen.targets])
    assert slices["count"].sum() == 100
    even = digits[1][1] % 2 == 0
    judged = trained.evaluate((digits[1][0][even], digits[1][1][even]))
    assert slices.loc["even", "accuracy"] == pytest.approx(judged["accuracy"])
    assert slices.loc["even", "loss"] == pytest.approx(judged["loss"], rel=1e-5)
    assert len(seen.per_slice(np.linspace(0, 1, 100))) == 4


@pytest.mark.parametrize("by", [["a", None], [1.5, None], [1.5, float("nan")], [None, None]])
def test_items_without_a_value_are_a_slice_too(by, trained):
    seen = trained.interpret()
    slices = seen.per_slice(by * 50)
    assert slices["count"].sum() == 100
    missing = np.array([value is None or value != value for value in by * 50])
    assert slices["loss"].iloc[-1] == pytest.approx(seen.losses[missing].mean())
    assert pd.isna(slices.index[-1])
    many = seen.per_slice([None if i % 2 else float(i) for i in range(100)])  # cut into ranges
    assert many["count"].tolist() == [13, 12, 12, 13, 50]


@pytest.mark.parametrize(
    ("kind", "architecture", "task"),
    [("table", "mlp", "regression"), ("text", "text_bag", "multilabel"), ("text", "text_bag", "classification"), ("table", "mlp", "multilabel")],
)
def test_every_kind_and_task(kind, architecture, task, out):
    data, target, _ = data_of(kind, task)
    learn = Learner(architecture, data, task=task, target=target, out=out, verbose=False, report=False)
    learn.fit(1)
    seen, judged = learn.interpret(), learn.evaluate()
    assert len(seen) == 16
    assert seen.losses.mean() == pytest.approx(judged["loss"], rel=1e-4)
    predicted = learn.predict()
    outputs = predicted.values if task == "regression" else predicted.probabilities
    np.testing.assert_allclose(seen._outputs.reshape(outputs.shape), outputs, rtol=1e-4, atol=1e-5)  # texts in the order of the items
    figures = [seen.plot_results(), seen.plot_top_losses(4)]
    if task == "regression":
        left = seen.residuals()
        assert (left["truth"] - left["predicted"]).abs().mean() == pytest.approx(judged["mae"], rel=1e-4)
        figures.append(seen.plot_residuals())
    else:
        assert seen.per_class()["support"].tolist() == (seen.targets.sum(0) if task == "multilabel" else np.bincount(seen.targets)).tolist()
        assert seen.most_confused()["count"].sum() == np.any(np.atleast_2d((seen.labels != seen.targets).T), axis=0).sum()
        figures += [seen.plot_confusion_matrix(), seen.plot_calibration(), seen.plot_curves()]
    for figure in figures:
        figure.canvas.draw()
    plain = seen.items.plain(0)
    assert isinstance(plain, str if kind == "text" else dict)
    if kind == "table":
        assert seen.per_slice("kind")["count"].sum() == 16
        assert len(seen.per_slice("a")) == 4
        with pytest.raises(UnknownNameError, match="Unknown column 'kimd'. Did you mean 'kind'"):
            seen.per_slice("kimd")


def test_a_column_of_a_table_is_the_one_that_came(out):
    frame = pd.DataFrame({"size": np.arange(40.0), "city": list("abcd") * 10, "y": [0, 1] * 20})
    frame.loc[5, "size"] = np.nan
    learn = Learner("mlp", frame, target="y", task="classification", out=out, verbose=False, report=False)
    seen = learn.interpret(frame)
    np.testing.assert_array_equal(seen.items.column("size"), frame["size"])
    assert seen.items.column("city").tolist() == frame["city"].tolist()
    assert seen.items.plain(3) == {"size": 3.0, "city": "d"}
    assert seen.per_slice("city")["count"].tolist() == [10] * 4


def test_multilabel_counts(out):
    data, target, _ = data_of("table", "multilabel")
    learn = Learner("mlp", data, task="multilabel", target=target, out=out, verbose=False, report=False)
    seen = learn.interpret()
    counts = seen.confusion_matrix()
    assert (counts.to_numpy().sum(1) == 16).all()
    assert counts["true_positive"].tolist() == (seen.labels * seen.targets).sum(0).tolist()


def own_loss(logits, target):
    return nn.functional.cross_entropy(logits, target) + 1.0


@pytest.mark.parametrize("loss", ["multi_margin", own_loss, nn.CrossEntropyLoss(weight=torch.arange(1.0, 11.0))])
def test_losses_of_items_are_those_of_the_training(loss, make, digits):
    learn = make(loss=loss)
    seen = learn.interpret()
    one = (digits[1][0][7:8], digits[1][1][7:8])
    expected = learn.evaluate((np.repeat(one[0], 2, 0), np.repeat(one[1], 2, 0)))["loss"]
    weight = loss.weight[one[1][0]].item() if isinstance(loss, nn.CrossEntropyLoss) else 1.0  # its mean divides by the weights
    assert seen.losses[7] == pytest.approx(expected * weight, rel=1e-5)


def test_an_ensemble_in_one_network(out):
    pytest.importorskip("tabm")
    data, target, _ = data_of("table", "classification")
    learn = Learner("tabm/tiny", data, target=target, out=out, verbose=False, report=False)
    seen = learn.interpret()
    assert seen.losses.shape == (16,)
    assert seen.losses.mean() == pytest.approx(learn.evaluate()["loss"], rel=1e-5)


def test_a_loss_of_the_whole_batch_is_said_to_be_none(trained):
    seen = trained.interpret()
    given = {"names": seen.names, "targets": seen.targets, "outputs": seen.probabilities, "items": seen.items, "judge": lambda index: {}}
    bare = ClassInterpretation(losses=None, total=100, **given)
    assert list(bare.per_slice(seen.targets).columns) == ["count"]
    with pytest.raises(ArgumentError, match="needs a loss for each item"):
        bare.top_losses()


def test_a_loader_of_ones_own_is_drawn_by_number(digits, out):
    train, val = digits
    loaders = (DataLoader(Plain(*train), batch_size=20, shuffle=True), DataLoader(Plain(*val), batch_size=30))
    learn = Learner("mlp", loaders, out=out, verbose=False, report=False)
    seen = learn.interpret()
    np.testing.assert_array_equal(seen.targets, val[1])
    figure = seen.plot_top_losses(3)
    i = seen.top_losses(1).index[0]
    picture = val[0][i, 0] / 255
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(drawn, (picture - picture.min()) / (picture.max() - picture.min()), atol=1e-6)
    assert len(interpret(learn, most=30)) == 30


@pytest.fixture
def numbered():
    """Items that hold their own number."""
    x = torch.arange(100.0).reshape(100, 1).repeat(1, 4)
    return TensorDataset(x, (torch.rand(100, generator=torch.Generator().manual_seed(0)) > 0.5).long())


def drawn(seen, i):
    seen.items.hold([i])
    return seen.items._columns.gather(torch.tensor([i]))["x"][0, 0].item()


def test_a_loader_that_shuffles_by_its_own_generator_shows_the_judged_items(numbered, out):
    generator = torch.Generator().manual_seed(7)
    loader = DataLoader(numbered, batch_size=16, shuffle=True, generator=generator)
    learn = Learner(nn.Linear(4, 2), (loader, DataLoader(numbered, batch_size=16)), out=out, verbose=False, report=False)
    before = generator.get_state()
    seen = learn.interpret("train")
    worst = seen.top_losses(5)
    assert [drawn(seen, i) for i in worst.index] == worst["item"].tolist()
    assert worst["truth"].tolist() == numbered.tensors[1][worst["item"].tolist()].tolist()
    assert sorted(seen.numbers) == list(range(100))
    assert torch.equal(generator.get_state(), before)  # looking costs the next epoch's order nothing
    part = interpret(learn, "train", most=30)
    assert [drawn(part, i) for i in range(len(part))] == part.numbers.tolist()
    assert len(part) == 32


class Stream(IterableDataset):
    """The items one after another, in an order of its own or always the same."""

    def __init__(self, items, shuffled):
        self.items, self.random = items, np.random.default_rng(0) if shuffled else None

    def __iter__(self):
        order = range(len(self.items)) if self.random is None else self.random.permutation(len(self.items))
        return (self.items[i] for i in order)


def test_a_stream_is_drawn_where_it_comes_alike_again(numbered, out):
    streams = DataLoader(Stream(numbered, True), batch_size=16), DataLoader(Stream(numbered, False), batch_size=16)
    learn = Learner(nn.Linear(4, 2), streams, out=out, verbose=False, report=False)
    seen = learn.interpret()
    assert [drawn(seen, i) for i in (3, 99)] == [3, 99]
    shuffled = learn.interpret("train")
    assert len(shuffled.top_losses(3)) == 3
    with pytest.raises(DataError, match=r"This one gave others. Give a Dataset with numbered items"):
        shuffled.plot_top_losses(3)


def test_a_part_is_spread_over_the_split(trained):
    part = interpret(trained, most=10)
    assert part.numbers.tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    assert (part.total, len(part)) == (100, 10)
    whole = trained.interpret()
    np.testing.assert_array_equal(part.targets, whole.targets[part.numbers])
    np.testing.assert_allclose(part.losses, whole.losses[part.numbers], rtol=1e-5)
    assert "10 of 100 items of val" in repr(part)
    assert set(part.top_losses(3)["item"]) <= set(part.numbers.tolist())


def test_nothing_of_the_learner_changes(trained):
    before = {k: v.clone() for k, v in trained.module.state_dict().items()}
    modes, state = [m.training for m in trained.module.modules()], torch.random.get_rng_state()
    trained.interpret()
    assert all(torch.equal(v, before[k]) for k, v in trained.module.state_dict().items())
    assert modes == [m.training for m in trained.module.modules()]
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_it_computes_in_the_precision_of_training(precision, make):
    learn = make(precision=precision)
    learn.fit(1)
    assert learn.interpret().losses.mean() == pytest.approx(learn.evaluate()["loss"], rel=1e-3)


def test_after_load(trained, digits, tmp_path):
    loaded = Learner.load(trained.save(tmp_path / "saved"), digits)
    np.testing.assert_allclose(loaded.interpret().probabilities, trained.interpret().probabilities, rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match="needs data"):
        Learner.load(tmp_path / "saved").interpret()


def test_bad_calls_are_answered_in_one_line(trained, out):
    seen = trained.interpret()
    for call, words in {
        lambda: seen.top_losses(0): "k is how many items, at least 1. 0 came",
        lambda: seen.plot_results(True): "n is how many items",
        lambda: seen.most_confused(0): "min_count is a whole number",
        lambda: seen.calibration(0): "bins is a whole number",
        lambda: seen.curves(1): "thresholds is None or a whole number",
        lambda: seen.per_slice([1, 2]): "one value an item, 100 here. 2 came",
        lambda: seen.per_slice("age"): "needs items with columns",
    }.items():
        with pytest.raises(ArgumentError, match=words):
            call()
    with pytest.raises(MissingColumnError, match="no 'confusion_matrx'. Did you mean 'confusion_matrix'"):
        seen.confusion_matrx()
    with pytest.raises(MissingColumnError, match="of a classification has no 'residuals'"):
        seen.residuals()
    with pytest.raises(DataError, match="needs a test split"):
        trained.interpret("test")


def test_other_tasks_are_refused(out):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 4)), columns=list("abcd")).assign(target=[0] * 50 + [1] * 10)
    learn = Learner(Copy(), rows, task="anomaly", out=out, verbose=False, report=False)
    with pytest.raises(ArgumentError, match="interpret.. knows classification, multilabel, regression. The task is anomaly"):
        learn.interpret()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["auto", "32-true"])
def test_on_a_gpu(precision, digits, out):
    learn = Learner("resnet10t", digits, devices="cuda:0", precision=precision, out=out, verbose=False)
    learn.fit(1)
    home = next(learn.module.parameters()).device
    seen = learn.interpret()
    assert next(learn.module.parameters()).device == home
    assert seen.losses.mean() == pytest.approx(learn.evaluate()["loss"], rel=1e-2)
    assert (learn.run_dir / "worst.png").is_file()
