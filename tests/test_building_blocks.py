"""The plain parts for people who write their own loop: optimizers, losses, metrics; and results."""

from __future__ import annotations

import inspect
import io
from functools import partial

import numpy as np
import pytest
import torch

from fastgpu import losses, metrics, optimizers
from fastgpu.errors import ArgumentError, UnknownKeywordError, UnknownNameError
from fastgpu.figures import Figure, grid
from fastgpu.results import Results


def parameters(dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2, dtype=dtype)), torch.nn.Parameter(torch.zeros(2, dtype=dtype))]


# --- optimizers


def test_own_names_are_torchs_classes() -> None:
    for name in optimizers.__all__:
        if inspect.isclass(getattr(optimizers, name)):
            assert getattr(optimizers, name) is getattr(torch.optim, name)
    for name in losses.__all__:
        if inspect.isclass(getattr(losses, name)) and name != "SigmoidFocalLoss":
            assert getattr(losses, name) is getattr(torch.nn, name)


@pytest.mark.filterwarnings("ignore:It is highly recommended to have 'opt_einsum'")
@pytest.mark.parametrize("name", optimizers.names())
def test_every_name_makes_a_step(name: str) -> None:
    params = parameters()
    before = [p.detach().clone() for p in params]
    optimizer = optimizers.create(name, params)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (params[0] ** 2).sum() + (params[1] - 1).pow(2).sum()
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(closure)
    assert all(p.isfinite().all() for p in params)
    assert any(not torch.equal(p, b) for p, b in zip(params, before, strict=True))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adagrad"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_fused_where_torch_has_it(name: str, dtype: torch.dtype) -> None:
    params = parameters(dtype)
    optimizer = optimizers.create(name, params)
    assert optimizer.defaults["fused"] is True
    params[0].sum().backward()
    optimizer.step()
    assert params[0].dtype == dtype
    assert not optimizers.create(name, params, fused=False).defaults["fused"]
    assert not optimizers.create(name, params, foreach=True).defaults["fused"]


def test_sgd_by_name_has_momentum() -> None:
    assert optimizers.create("SGD", parameters()).defaults["nesterov"] is True
    plain = optimizers.create("sgd", parameters(), momentum=0.0)
    assert (plain.defaults["momentum"], plain.defaults["nesterov"]) == (0.0, False)
    assert optimizers.create(optimizers.SGD, parameters()).defaults["momentum"] == 0
    assert optimizers.create("momentum", parameters()).defaults["momentum"] == 0.9


def test_learning_rates() -> None:
    assert optimizers.create("adam", parameters()).defaults["lr"] == 1e-3
    assert optimizers.create("adam", parameters(), lr=0.5).defaults["lr"] == 0.5
    assert optimizers.create(partial(torch.optim.Adam, lr=0.3), parameters()).defaults["lr"] == 0.3
    assert optimizers.create(lambda params: torch.optim.SGD(params, lr=0.2), parameters()).defaults["lr"] == 0.2
    assert optimizers.default_lr("lion") == 1e-4


def test_groups_and_weight_decay() -> None:
    first, second = parameters()
    groups = [{"params": [first], "lr": 0.1, "weight_decay": 0.0}, {"params": [second]}]
    made = optimizers.create("adamw", groups, lr=0.2, weight_decay=0.3)
    assert [(g["lr"], g["weight_decay"]) for g in made.param_groups] == [(0.1, 0.0), (0.2, 0.3)]
    assert made.defaults["fused"] is True


def test_wrong_optimizers() -> None:
    with pytest.raises(UnknownNameError, match="Unknown optimizer 'adamm'. Did you mean .*'adam'"):
        optimizers.create("adamm", parameters())
    with pytest.raises(UnknownKeywordError, match="AdamW has no option 'beta'. Did you mean betas"):
        optimizers.create("adamw", parameters(), beta=0.9)
    with pytest.raises(UnknownKeywordError, match="has no option 'lr'"):
        optimizers.create(lambda params: torch.optim.SGD(params, lr=0.2), parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match="Adam cannot be made. Invalid learning rate: -1"):
        optimizers.create("adam", parameters(), lr=-1.0)
    with pytest.raises(ArgumentError, match="empty parameter list"):
        optimizers.create("adam", [])
    with pytest.raises(ArgumentError, match="must be a name, a class of torch.optim or a function of the parameters. Got int"):
        optimizers.create(3, parameters())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="must give a torch optimizer. list gave list"):
        optimizers.create(list, parameters())  # type: ignore[arg-type]


# --- metrics for an own loop


def test_accuracy_over_batches() -> None:
    accuracy = metrics.Accuracy()
    accuracy.update(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    accuracy.update(torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    assert accuracy.get() == pytest.approx(2 / 3)
    accuracy.reset()
    with pytest.raises(ArgumentError, match=r"Accuracy.get\(\) needs at least one update"):
        accuracy.get()
    accuracy.update(torch.tensor([[2.0, 1.0]]), torch.tensor([1]))
    assert accuracy.get() == 0.0


def test_labels_for_logits() -> None:
    accuracy = metrics.Accuracy()
    accuracy.update(torch.tensor([7, 2, 3, 9]), torch.tensor([7, 2, 3, 4]))
    assert accuracy.get() == 0.75
    f1 = metrics.F1(classes=2)
    f1.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 0, 1]))
    assert f1.get() == pytest.approx((2 / 3 + 0.8) / 2)
    with pytest.raises(ArgumentError, match=r"Give F1\(classes=...\)"):
        metrics.F1().update(torch.tensor([0]), torch.tensor([0]))


def test_independent_labels() -> None:
    output = torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    for metric in (metrics.Accuracy(), metrics.F1(), metrics.Precision(), metrics.Recall()):
        metric.update(output, torch.tensor([[1, 0], [1, 1]]))
        assert metric.get() == 1.0
    accuracy = metrics.Accuracy()
    accuracy.update(output[:, 0], torch.tensor([1.0, 0.0]))
    assert accuracy.get() == 0.5


def test_auroc_ranks_logits_over_batches() -> None:
    auroc = metrics.AUROC()
    for logit, label in ((0.2, 0), (0.4, 0), (0.6, 1), (9.0, 1)):
        auroc.update(torch.tensor([[0.0, logit]]), torch.tensor([label]))
    assert auroc.get() == 1.0
    with pytest.raises(ArgumentError, match="AUROC needs logits"):
        auroc.update(torch.tensor([1]), torch.tensor([1]))


def test_metrics_of_numbers() -> None:
    output, target = torch.tensor([[2000.0], [2004.0]], requires_grad=True), torch.tensor([2000.0, 2002.0])
    for metric, value in ((metrics.MeanAbsoluteError(), 1.0), (metrics.MeanSquaredError(), 2.0), (metrics.R2(), -1.0)):
        metric.update(output, target)
        assert metric.get() == pytest.approx(value)


def test_wrong_shapes() -> None:
    with pytest.raises(ArgumentError, match=r"Accuracy needs logits .* Got \(2, 3\) torch.float32 with \(3,\) torch.int64"):
        metrics.Accuracy().update(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="Accuracy needs logits"):
        metrics.Accuracy().update(torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ArgumentError, match=r"R2 needs outputs and targets of one shape.* Got \(2, 2\) with \(2,\)"):
        metrics.R2().update(torch.zeros(2, 2), torch.zeros(2))


def test_own_loop_with_the_parts() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    y = (x[:, 0] > 0).long()
    model = torch.nn.Linear(4, 2)
    optimizer, loss_of, accuracy = optimizers.Adam(model.parameters(), lr=0.1), losses.CrossEntropyLoss(), metrics.Accuracy()
    for _ in range(50):
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
    accuracy.update(model(x), y)
    assert accuracy.get() > 0.95


# --- results


@pytest.fixture
def results() -> Results:
    def draw(axes: object, i: int) -> None:
        axes.plot([0, i])  # type: ignore[attr-defined]

    columns = {"labels": ["cat", "dog", "cat"], "probabilities": np.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]])}
    return Results(columns, names=("cat", "dog"), draw=draw, title=lambda i: f"item {i}")


def test_results_of_classes(results: Results) -> None:
    assert len(results) == 3
    assert results.labels == ["cat", "dog", "cat"]
    assert results[-1] == {"label": "cat", "probability": 1.0, "probabilities": {"cat": 1.0, "dog": 0.0}}
    assert [row["label"] for row in results] == results.labels
    frame = results.to_frame()
    assert list(frame.columns) == ["label", "probability", "p_cat", "p_dog"]
    assert frame["probability"].tolist() == [0.75, 0.5, 1.0]
    assert repr(results) == "Results(3 items: item 0; item 1; item 2)"
    with pytest.raises(ArgumentError, match="These results have no .values. They have: labels, probabilities"):
        results.values  # noqa: B018
    with pytest.raises(IndexError):
        results[3]  # noqa: B018


def test_slices_keep_their_items(results: Results) -> None:
    part = results[1:]
    assert part.labels == ["dog", "cat"]
    assert part.probabilities.shape == (2, 2)
    figure = part.plot()
    assert [axes.get_title() for axes in figure.axes] == ["item 1", "item 2"]
    assert figure.axes[1].lines[0].get_ydata()[1] == 2
    assert len(results[:0].plot().axes) == 0


def test_results_of_several_labels() -> None:
    results = Results({"labels": [["a"], []], "probabilities": np.array([[0.9], [0.1]])}, names=("a",))
    assert results[0] == {"labels": ["a"], "probabilities": {"a": 0.9}}
    assert list(results.to_frame().columns) == ["labels", "p_a"]
    with pytest.raises(ArgumentError, match="came without. Use .to_frame"):
        results.plot()


def test_results_of_numbers() -> None:
    assert list(Results({"values": np.array([1.0, 2.0])})) == [{"value": 1.0}, {"value": 2.0}]
    assert list(Results({"values": np.array([1.0])}, names=("price",)).to_frame().columns) == ["price"]
    several = Results({"values": np.array([[1.0, 2.0]])}, names=("length", "width"))
    assert several[0] == {"values": {"length": 1.0, "width": 2.0}}
    assert list(several.to_frame().columns) == ["length", "width"]
    assert list(Results({"values": np.array([[1.0, 2.0]])}).to_frame().columns) == ["value_0", "value_1"]


def test_figures_show_in_a_notebook() -> None:
    from PIL import Image

    figure = grid(3, lambda axes, i: axes.set_axis_off(), str)
    assert isinstance(figure, Figure)
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.width > 100
