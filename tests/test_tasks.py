"""Tasks: targets in, loss, metrics and decoded predictions out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fastgpu import losses, metrics
from fastgpu.errors import ArgumentError, DataError, UnknownNameError
from fastgpu.tasks import TASKS, Task

TARGETS = {
    "classification": np.array(["dog", "cat", "dog", "owl", "cat", "dog"]),
    "multilabel": np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 1]]),
    "regression": np.array([[2000.0, 1.0], [2005.0, 2.0], [1995.0, 3.0], [2010.0, 4.0], [1990.0, 5.0], [2000.0, 6.0]]),
}


@pytest.fixture(params=sorted(TARGETS))
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param].fit(TARGETS[request.param])


def perfect(task: Task, y: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Logits that give the target."""
    target = y["target"]
    if task.name == "classification":
        return 20 * torch.nn.functional.one_hot(target, task.outputs).to(dtype)
    return (target * 40 - 20 if task.name == "multilabel" else target).to(dtype)


class Fixed(torch.nn.Module):
    """A network that gives the same whatever comes."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, x: object, y: object = None) -> dict[str, torch.Tensor]:
        return {"logits": self.logits}


# --- what holds for every task


def test_every_task_is_tried_here() -> None:
    assert set(TARGETS) <= set(TASKS)  # the tasks of the fields are tried in test_fields.py


def test_survives_json(task: Task) -> None:
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_every_loss_and_metric(task: Task) -> None:
    y = task.encode(TARGETS[task.name])
    for name in losses.FITTING[task.name]:
        model = Fixed(torch.zeros(6, task.outputs))
        _, loss = task.step(model, {}, y, task.loss(name))
        loss.backward()
        assert loss.ndim == 0
        assert model.logits.grad is not None
    for name in metrics.names(task.name):
        if name == "top5_accuracy":
            continue
        metric = task.metric(name)
        metric.update(*task.metric_inputs({"logits": perfect(task, y)}, y))
        best = 1.0 if metric.higher_is_better else 0.0
        assert float(metric.compute()) == pytest.approx(best, abs=1e-4)


def test_defaults_are_names_that_there_are(task: Task) -> None:
    task.loss(task.default_loss)
    assert set(task.default_metrics) <= set(metrics.names(task.name))
    assert task.monitor in task.default_metrics


def test_perfect_logits_decode_to_the_truth(task: Task) -> None:
    y = task.encode(TARGETS[task.name])
    columns = task.columns(task.decode({"logits": perfect(task, y)}))
    truth = task.truth(y)
    for name in truth:
        assert columns[name] == truth[name] if name == "labels" else np.allclose(columns[name], truth[name])
    assert task.title(columns, 0)
    assert task.title(truth, 0)
    assert task.describe().startswith(task.name)


def test_half_precision_gives_float32(task: Task) -> None:
    y = task.encode(TARGETS[task.name])
    decoded = task.decode({"logits": perfect(task, y, torch.bfloat16)})
    assert decoded["values" if task.name == "regression" else "probabilities"].dtype == torch.float32


def test_double_precision_stays(task: Task) -> None:
    y = task.encode(TARGETS[task.name])
    decoded = task.decode({"logits": perfect(task, y, torch.float64)})
    assert decoded["values" if task.name == "regression" else "probabilities"].dtype == torch.float64
    # Lightning makes the batch's numbers float64 too.
    y = {"target": y["target"].double() if y["target"].is_floating_point() else y["target"]}
    _, loss = task.step(Fixed(perfect(task, y, torch.float64)), {}, y, task.loss(task.default_loss).double())
    assert loss.dtype == torch.float64


def test_wrong_names(task: Task) -> None:
    other = "mae" if task.name != "regression" else "cross_entropy"
    with pytest.raises(ArgumentError, match=f"The loss must fit the task. '{other}' is not a loss of {task.name}"):
        task.loss(other)
    with pytest.raises(ArgumentError, match=f"is not a metric of {task.name}"):
        task.metric("mae" if task.name != "regression" else "accuracy")
    with pytest.raises(UnknownNameError, match=f"Unknown loss '{task.default_loss}x'. Did you mean '{task.default_loss}'"):
        task.loss(task.default_loss + "x")
    with pytest.raises(UnknownNameError, match=f"Unknown metric '{task.monitor}x'. Did you mean '{task.monitor}'"):
        task.metric(task.monitor + "x")


# --- classification


def classification(labels: object, **given: object) -> Task:
    return TASKS["classification"].fit(np.asarray(labels), **given)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([3, 1, 3], (1, 3)),
        ([3.0, 1.0], (1, 3)),
        (np.array([1, 0], np.uint8), (0, 1)),
        (["b", "a"], ("a", "b")),
        ([True, False], (False, True)),
        (np.array(["b", 1], dtype=object), (1, "b")),
        (pd.Series(["b", "a"], dtype="category").to_numpy(), ("a", "b")),
        ([[2], [5]], (2, 5)),
    ],
)
def test_classes_keep_their_python_type(labels: object, classes: tuple) -> None:
    task = classification(labels)
    assert task.to_dict()["classes"] == classes
    assert [type(c) for c in task.to_dict()["classes"]] == [type(c) for c in classes]


def test_known_classes_take_names_and_numbers() -> None:
    task = classification(["cat", "dog"], classes=("dog", "cat", "owl"))
    assert task.encode(np.array(["owl", "dog"]))["target"].tolist() == [2, 0]
    assert task.encode(np.array([2, 0]))["target"].tolist() == [2, 0]


def test_predictions_of_classes() -> None:
    task = classification(["cat", "dog"])
    columns = task.columns(task.decode({"logits": torch.tensor([[0.0, 3.0], [1.0, 0.0]])}))
    assert columns["labels"] == ["dog", "cat"]
    assert columns["probabilities"].sum(1) == pytest.approx([1, 1])
    assert task.title(columns, 0) == "dog 95%"


def test_wrong_labels() -> None:
    task = classification(["cat", "dog"])
    with pytest.raises(DataError, match=r"among the 2 classes cat, dog. 'dgo' came \(1 of 2 items.* row 1\). Did you mean 'dog'"):
        task.encode(np.array(["cat", "dgo"]))
    with pytest.raises(DataError, match=r"Labels must lie in the range 0 to 1, .* 2 came .*rows 0, 2"):
        task.encode(np.array([2, 0, 2]))
    with pytest.raises(DataError, match=r"2 of 3 have none \(rows 0, 2\)"):
        classification(np.array([None, "a", np.nan], dtype=object))
    with pytest.raises(DataError, match="at least two classes. Only 'a' came"):
        classification(["a", "a"])
    with pytest.raises(DataError, match=r"strings or whole numbers. 0.5 came \(row 1\). Give task='regression'"):
        classification([1.0, 0.5])
    with pytest.raises(DataError, match=r"Targets of shape \(2, 2\) came. Give task='multilabel'"):
        classification([[0, 1], [1, 0]])
    with pytest.raises(DataError, match="Lists came. Give task='multilabel'"):
        classification(np.array([["a"], ["a", "b"]], dtype=object))


def test_class_weight() -> None:
    task = classification([0, 1])
    assert task.loss("cross_entropy", class_weight=(1.0, 3.0)).weight.tolist() == [1, 3]
    with pytest.raises(ArgumentError, match="class_weight needs one weight a class, 2 here. 3 came"):
        task.loss("cross_entropy", class_weight=(1.0, 3.0, 1.0))


def test_few_classes_have_no_top5() -> None:
    with pytest.raises(ArgumentError, match="top5_accuracy needs more than 5 classes. The data have 2"):
        classification([0, 1]).metric("top5_accuracy")
    metric = classification(range(7)).metric("top5_accuracy")
    metric.update(torch.arange(7.0)[None].repeat(2, 1), torch.tensor([2, 1]))
    assert metric.compute() == 0.5


# --- multilabel


def multilabel(targets: object, **given: object) -> Task:
    return TASKS["multilabel"].fit(np.asarray(targets), **given)


def lists(*labels: list) -> np.ndarray:
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out


def test_lists_of_labels() -> None:
    task = TASKS["multilabel"].fit(lists(["red", "big"], [], ["red"]))
    assert task.encode(lists(["big"], []))["target"].tolist() == [[1, 0], [0, 0]]
    assert task.encode(np.array([["big", "red"]]))["target"].tolist() == [[1, 1]]
    columns = task.columns(task.decode({"logits": torch.tensor([[1.0, 1.0], [-1.0, -1.0]])}))
    assert columns["labels"] == [["big", "red"], []]
    assert [task.title(columns, i) for i in (0, 1)] == ["big, red", "no label"]


def test_target_columns_name_the_labels() -> None:
    assert multilabel([[0, 1]], target=("red", "big")).outputs == 2
    assert multilabel([[0, 1]], target=("red", "big")).to_dict()["classes"] == ("red", "big")
    assert multilabel([[False, True]]).to_dict()["classes"] == (0, 1)


def test_small_logits_are_not_taken_for_probabilities() -> None:
    task = multilabel([[1], [0]])
    metric = task.metric("accuracy")
    metric.update(*task.metric_inputs({"logits": torch.tensor([[0.3], [0.2]])}, {"target": torch.tensor([[1.0], [1.0]])}))
    assert metric.compute() == 1.0


def test_wrong_rows() -> None:
    with pytest.raises(DataError, match=r"must hold 0 and 1. 2 came for the label 0 \(row 1\)"):
        multilabel([[0, 1], [2, 0]])
    with pytest.raises(DataError, match="must hold 0 and 1. nan came for the label 1"):
        multilabel([[0, np.nan]])
    with pytest.raises(DataError, match=r"1 of 2 have none \(row 1\)"):
        TASKS["multilabel"].fit(lists(["a"], None))
    with pytest.raises(DataError, match="lists of labels. 'a' came"):
        multilabel(["a", "b"])
    with pytest.raises(DataError, match="'blue' came"):
        TASKS["multilabel"].fit(lists(["red"], ["big"])).encode(lists(["blue"]))
    with pytest.raises(DataError, match="one column a label, 2 here: 0, 1. 3 columns came"):
        multilabel([[0, 1]]).encode(np.zeros((1, 3)))
    with pytest.raises(ArgumentError, match="'focal' does not. Take one of: bce_with_logits"):
        multilabel([[0, 1]]).loss("focal", class_weight=(1.0, 1.0))


# --- regression


def regression(targets: object, **given: object) -> Task:
    return TASKS["regression"].fit(np.asarray(targets), **given)


def test_metrics_and_values_are_in_the_targets_units() -> None:
    task = regression([10.0, 20.0, 30.0])
    y = task.encode(np.array([10.0, 30.0]))
    out = {"logits": torch.zeros(2, 1)}
    mae = task.metric("mae")
    mae.update(*task.metric_inputs(out, y))
    assert mae.compute() == pytest.approx(10.0)
    assert task.columns(task.decode(out))["values"] == pytest.approx([20.0, 20.0])


def test_one_target_never_broadcasts() -> None:
    task = regression([1.0, 2.0, 3.0])
    y = task.encode(np.array([1.0, 2.0, 3.0]))
    for shape in ((3, 1), (3,)):
        _, loss = task.step(Fixed(y["target"].reshape(shape).float()), {}, y, torch.nn.MSELoss())
        assert loss.item() == pytest.approx(0.0)


def test_r2_of_large_numbers_is_exact_in_float32() -> None:
    values = 1e5 + np.random.default_rng(0).normal(size=1000)
    task = regression(values)
    y = {"target": task.encode(values)["target"].float()}
    r2 = task.metric("r2")
    r2.update(*task.metric_inputs({"logits": y["target"] * 0.5}, y))
    assert r2.compute() == pytest.approx(0.75, abs=0.01)


def test_r2_of_one_item_is_not_a_number() -> None:
    r2 = regression([1.0, 2.0]).metric("r2")
    r2.update(torch.tensor([1.0]), torch.tensor([1.0]))
    assert np.isnan(float(r2.compute()))


def test_several_targets_keep_their_names() -> None:
    task = regression([[1.0, 100.0], [3.0, 300.0]], target=("length", "width"))
    columns = task.columns(task.decode({"logits": torch.zeros(1, 2)}))
    assert columns["values"].tolist() == [[2.0, 200.0]]
    assert task.title(columns, 0) == "length 2, width 200"


def test_constant_target() -> None:
    assert regression([0.1, 0.1, 0.1]).encode(np.array([0.1]))["target"].item() == pytest.approx(0.0)


def test_wrong_numbers() -> None:
    with pytest.raises(DataError, match=r"finite numbers. nan came of 'price' \(row 1\)"):
        regression([1.0, np.nan], target=("price",))
    with pytest.raises(DataError, match=r"must be numbers. 'cat' came \(row 0\). Give task='classification'"):
        regression(["cat", "dog"])
    with pytest.raises(DataError, match="finite numbers. nan came"):
        regression(np.array([1, None], dtype=object))
    with pytest.raises(DataError, match="datetime64"):
        regression(np.array(["2020-01-01"], dtype="datetime64[s]"))
    with pytest.raises(DataError, match="2 target"):
        regression([[1.0, 2.0]]).encode(np.zeros(3))
    with pytest.raises(ArgumentError, match="Leave it out: regression has no classes"):
        regression([1.0, 2.0]).loss("mse", class_weight=(1.0,))
