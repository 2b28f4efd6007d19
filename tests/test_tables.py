"""FT-Transformer and TabM: columns of every sort, members of an ensemble, what training did not have."""

import importlib
import socket

import numpy as np
import pandas as pd
import pytest
import torch

from fastgpu import Learner, zoo
from fastgpu.inputs import INPUTS
from fastgpu.nn.adapters import adapt
from fastgpu.tasks import TASKS
from fastgpu.tasks.base import per_member

pytest.importorskip("rtdl_revisiting_models")
pytest.importorskip("tabm")

NAMES = ["ft_transformer/tiny", "tabm/tiny"]
ALL = [name for name in zoo.list_models(input="table") if name.split("/")[0] in ("ft_transformer", "tabm")]
BOTH = {"kind": "table", "numbers": 3, "cardinalities": (4, 7)}
X = {"numbers": torch.randn(6, 3), "categories": torch.tensor([[0, 6], [1, 0], [3, 5], [2, 2], [1, 1], [3, 3]])}
TARGETS = {
    "classification": np.array([0, 1, 2, 0, 1, 2]),
    "multilabel": np.array([[0, 1], [1, 1], [1, 0], [0, 0], [1, 0], [0, 1]]),
    "regression": np.array([1.0, 2.0, 5.0, 3.0, 4.0, 0.0]),
}


def flats(n=120):
    rng = np.random.default_rng(0)
    rooms, town = rng.integers(1, 8, n), rng.choice(["Ulm", "Bonn", "Kiel"], n)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0, 90, n))
    return pd.DataFrame({"rooms": rooms, "town": town, "age": age, "rent": 150 * rooms + rng.normal(0, 9, len(town))})


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("facts", [BOTH, {**BOTH, "cardinalities": ()}, {**BOTH, "numbers": 0}], ids=["both", "numbers", "categories"])
def test_every_architecture_builds_without_network(name, facts, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    built = zoo.build(name, facts, 2)
    assert built.net.get_submodule(built.head[0]) is not None
    x = {k: v for k, v in X.items() if (facts["numbers"] if k == "numbers" else facts["cardinalities"])}
    for mode in (True, False):
        assert adapt(built.net, INPUTS["table"].keys).train(mode)(x)["logits"].shape == (6, 2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", TARGETS)
def test_loss_falls_on_one_batch(name, task):
    torch.manual_seed(0)
    fitted = TASKS[task].fit(TARGETS[task])
    model = adapt(zoo.build(name, BOTH, fitted.facts()).net, INPUTS["table"].keys)
    y = fitted.encode(TARGETS[task])
    optimizer, losses = torch.optim.AdamW(model.parameters(), 3e-3), []
    for _ in range(60):
        out, value = fitted.step(model, X, y, fitted.loss(fitted.default_loss))
        fitted.check_outputs(out)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0]


def test_members_are_averaged_as_the_task_wants():
    members = None
    for task, outputs in (("classification", 3), ("multilabel", 2), ("regression", 1)):
        net = zoo.build("tabm/tiny", BOTH, {"task": task, "outputs": outputs}).net
        out = adapt(net, INPUTS["table"].keys).eval()(X)
        members = out["members"]
        assert members.shape == (6, 8, outputs)
        expected = {
            "classification": members.softmax(-1).mean(1).log(),
            "multilabel": members.sigmoid().mean(1).logit(),
            "regression": members.mean(1),
        }[task]
        torch.testing.assert_close(out["logits"], expected, rtol=1e-4, atol=1e-5)
    logits, target = per_member({"logits": torch.zeros(2, 1), "members": torch.zeros(2, 8, 1)}, torch.tensor([1, 2]))
    assert logits.shape == (16, 1)
    assert target.tolist() == [1] * 8 + [2] * 8


def test_each_member_has_its_loss():
    fitted = TASKS["classification"].fit(TARGETS["classification"])
    model = adapt(zoo.build("tabm/tiny", BOTH, fitted.facts()).net, INPUTS["table"].keys).eval()
    y = fitted.encode(TARGETS["classification"])
    out, value = fitted.step(model, X, y, fitted.loss("cross_entropy"))
    each = [torch.nn.functional.cross_entropy(out["members"][:, i], y["target"]) for i in range(8)]
    torch.testing.assert_close(value, torch.stack(each).mean())


@pytest.mark.parametrize("name", NAMES)
def test_an_unseen_category_starts_and_stays_without_effect(name, out):
    learn = Learner(name, flats(), target="rent", out=out, report=False, verbose=False)
    learn.fit(2)
    if name.startswith("ft"):
        assert not learn.module.cat_embeddings.embeddings[0].weight[0].any()
    else:
        first = learn.module.backbone.blocks[0][0].weight
        assert not first[:, learn.data.input.facts()["numbers"]].any()
    rows = [{"rooms": 3, "town": town, "age": 10.0} for town in ("Paris", None, "Rome")]
    values = learn.predict(rows).values
    assert values[0] == values[1] == values[2]
    assert np.isfinite(values).all()
    held = flats().assign(town="Paris")
    assert np.isfinite(learn.evaluate(held)["mae"])


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded(name, out, tmp_path):
    learn = Learner(name, flats(), target="town", out=out, report=False, verbose=False)
    learn.fit(1)
    again = Learner.load(learn.save(tmp_path / "saved"))
    rows = flats().drop(columns="town").head(5)
    np.testing.assert_allclose(again.predict(rows).probabilities, learn.predict(rows).probabilities, rtol=1e-5)
    np.testing.assert_allclose(again.predict(rows).probabilities.sum(1), 1, rtol=1e-5)


def test_facts_and_the_missing_extra(monkeypatch):
    from fastgpu import optional

    real = importlib.import_module

    def missing(name, *rest):
        if name in ("tabm", "rtdl_revisiting_models"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    assert {zoo.find(name)[1].extra for name in ALL} == {"tables"}
    with pytest.raises(ImportError, match=r"tabm/tiny needs the package tabm.*pip install 'fastgpu\[tables\]'"):
        zoo.build("tabm/tiny", BOTH, 2)
    monkeypatch.undo()
    assert zoo.model_info("tabm/base").parameters > 10 * zoo.model_info("tabm/tiny").parameters
