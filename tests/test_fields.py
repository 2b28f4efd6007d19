"""Every verb on every field, generated from the registries of tasks and the files in `fields/`."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from fields import all_fields

from fastgpu import Learner
from fastgpu.errors import ArgumentError, ModelError
from fastgpu.tasks import TASKS

CASES = {field.name: field for field in all_fields()}


def test_every_task_has_a_case():
    assert {field.task for field in CASES.values()} | {"classification", "multilabel", "regression"} == set(TASKS)


@pytest.mark.parametrize("name", CASES)
def test_every_verb(name, out, tmp_path):
    field = CASES[name]
    for package in field.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    learn = Learner(field.architecture, field.data(tmp_path), out=out, report=False, verbose=False, **field.settings)
    assert learn.data.task.name == field.task
    assert learn.lr_find(steps=12).valley > 0
    learn.fit(1)
    learn.fine_tune(1)
    assert len(learn.history) == 3
    judged = learn.evaluate()
    assert "loss" in judged
    assert learn.data.task.monitor in judged
    assert "data:image/png" in learn.report(tmp_path / "report.html").read_text(encoding="utf-8")
    items = field.items(tmp_path)
    results = learn.predict(items)
    assert len(results) >= 3
    column = getattr(results, field.column)
    assert isinstance(results[0], dict)
    if field.column == "sounds":
        with pytest.raises(ArgumentError, match="A table holds numbers and words. sounds are none. Save a file an item"):
            results.to_frame()
    else:
        frame = results.to_frame()
        assert set(frame.get("item", range(len(results)))) <= set(range(len(results)))
        assert field.column == "boxes" or len(frame) == len(results)
        assert not any(isinstance(cell, (np.ndarray, dict)) for cell in frame.to_numpy().ravel())
    assert len(learn.predict()) == learn.data.sizes["val"]
    for figure in (learn.show_batch(4), learn.show_results(4), results.plot(4), learn.history.plot()):
        assert figure.axes
        figure.canvas.draw()
    assert str(learn.summary())
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    same(getattr(loaded.predict(items), field.column), column)
    assert repr(loaded.data).splitlines()[1:3] == repr(learn.data).splitlines()[1:3]
    if field.task != "ranking":
        with pytest.raises(ArgumentError, match="recommend ranks items for a user"):
            learn.recommend(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_double_precision_works_or_is_refused(name, out, tmp_path):
    field = CASES[name]
    for package in field.packages:
        pytest.importorskip(package)
    learn = Learner(field.architecture, field.data(tmp_path), out=out, report=False, verbose=False, **{**field.settings, "precision": 64})
    if field.architecture.startswith("fastspeech2"):
        with pytest.raises(ModelError, match="It does not in 64-true"):
            learn.fit(1)
    else:
        assert np.isfinite(learn.fit(1)["loss"][-1])


def same(found, expected):
    """Equal predictions, whatever they are: arrays, lists of arrays, of dicts, of texts."""
    if isinstance(expected, (np.ndarray, torch.Tensor)):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-5)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert found == expected
