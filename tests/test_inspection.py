"""Anomaly: what is normal, the threshold, metrics, splits; inspection: its layouts, bad input and networks."""

from __future__ import annotations

import shutil
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from fields.inspection import stripes
from PIL import Image

from fastgpu import Learner, zoo
from fastgpu.data import sources
from fastgpu.data.raw import Items
from fastgpu.data.sources.base import objects
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError
from fastgpu.nn.adapters import adapt
from fastgpu.nn.anomaly import AnomalyNetwork
from fastgpu.tasks import TASKS
from fastgpu.tasks.anomaly_metrics import Alarms, AreaUnderCurve, Threshold

Anomaly = TASKS["anomaly"]
FACTS = {"kind": "image", "channels": 1, "size": (32, 32)}
TARGET = {"task": "anomaly", "outputs": 1}
FAMILIES = ["patchcore/test_resnet", "patchcore/test_convnext", "reconstruction", "reconstruction/tiny"]


class Copy(AnomalyNetwork):
    """A linear autoencoder of four columns through two."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 4))

    def forward(self, numbers):
        errors = (self.layers(numbers) - numbers).square().mean(-1)
        return {"score": errors, "losses": errors}


# The task


def test_what_counts_as_normal():
    task = Anomaly.fit(np.array(["ok", "Good", "normal"]))
    assert task.encode(np.array(["ok", "scratch", "0", "7"]))["target"].tolist() == [0, 1, 0, 1]
    assert task.encode(np.array([0, 3, 1]))["target"].tolist() == [0, 1, 1]
    assert task.encode(np.array([False, True]))["target"].tolist() == [0, 1]
    assert Anomaly.from_dict(task.to_dict()) == task


def test_anomalous_or_missing_training_targets_are_refused():
    with pytest.raises(DataError, match=r"normal items alone. 1 of 3 training items are anomalous \(row 2\)"):
        Anomaly.fit(np.array([0, 0, 4]))
    with pytest.raises(DataError, match=r"1 of 2 have no target \(row 1\)"):
        Anomaly.fit(np.array([0.0, np.nan]))
    with pytest.raises(DataError, match="one target an item"):
        Anomaly.fit(np.zeros((3, 2)))


def test_all_anomalous_items_are_held_out():
    y = np.array([0] * 20 + [1] * 5)
    train, val, notes = Anomaly.split(Items(np.arange(25), y), 0.2, 0)
    assert (len(train), len(val)) == (16, 9)
    assert not train.y.any()
    assert val.y.sum() == 5
    assert "anomalous" in notes[-1]


def test_runs_with_an_anomaly_are_held_out_whole():
    group = np.repeat(np.arange(6), 5)
    y = np.zeros(30, int)
    y[12] = 1  # run 2
    train, val, _ = Anomaly.split(Items(np.arange(30), y, group), 0.2, 0)
    assert not set(train.group) & set(val.group)
    assert 2 in set(val.group)
    assert len(train) + len(val) == 30
    with pytest.raises(DataError, match="at least two. 0 of 3 came"):
        Anomaly.split(Items(np.arange(3), np.ones(3)), 0.2, 0)


# Metrics


def test_the_area_is_that_of_the_scores_own_order():
    metric = AreaUnderCurve()
    metric.update(torch.tensor([50.0, 60.0, 70.0]), torch.tensor([0, 0, 1]))
    metric.update(torch.tensor([0.5, 0.4, 1000.0]), torch.tensor([0, 255, 1]))  # torchmetrics alone takes these for shares
    assert metric.compute().item() == 1
    alone = AreaUnderCurve()
    alone.update(torch.rand(3), torch.zeros(3, dtype=torch.long))
    assert alone.compute() == {}


def test_the_threshold_is_a_quantile_of_normal_scores():
    metric = Threshold(0.75)
    metric.update(torch.tensor([4.0, 0.0, 1.0, 3.0, 99.0]), torch.tensor([0, 0, 0, 0, 1]))
    metric.update(torch.tensor([2.0]), torch.tensor([0]))
    assert metric.compute().item() == pytest.approx(np.quantile([0, 1, 2, 3, 4], 0.75))


def test_alarms():
    metric = Alarms("recall")
    metric.update(torch.tensor([1, 0, 1]), torch.tensor([1, 1, 0]))
    assert metric.compute().item() == 0.5
    metric.reset()
    metric.update(torch.tensor([1]), torch.tensor([0]))
    assert metric.compute() == {}


def test_unknown_names_are_answered():
    task = Anomaly.fit(np.zeros(2))
    with pytest.raises(UnknownNameError, match="auroc"):
        task.metric("aurok")
    with pytest.raises(UnknownNameError, match="network"):
        task.loss("mse")
    with pytest.raises(ArgumentError, match="class_weight goes with a loss of classes"):
        task.loss("network", class_weight=(1.0, 2.0))


# Tables, with a network of the user's own


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 2))
    table = pd.DataFrame(np.c_[hidden, hidden @ rng.normal(size=(2, 2))], columns=list("abcd"))
    table.loc[160:, list("abcd")] = rng.normal(size=(40, 4)) * 2
    table["target"] = [0] * 160 + [3] * 40
    return table


def test_the_threshold_is_kept_with_the_network(frame, out, tmp_path):
    learn = Learner(Copy(), frame, task="anomaly", quantile=0.9, out=out, report=False, verbose=False, lr=0.02)
    assert learn.data.sizes == {"train": 128, "val": 72}
    learn.fit(4)
    judged = learn.evaluate()
    assert judged["auroc"] > 0.95
    assert learn.module.threshold.item() == pytest.approx(judged["threshold"], rel=1e-4)
    results = learn.predict(frame.drop(columns="target"))
    assert results.scores.shape == (200,)
    assert np.mean(results.anomalous[:160]) < 0.25
    assert np.mean(results.anomalous[160:]) > 0.8
    assert set(results[0]) == {"score", "anomalous", "threshold"}
    assert list(results.to_frame().columns) == ["score", "anomalous", "threshold"]


def test_without_validation_there_is_no_threshold(frame, out):
    learn = Learner(Copy(), frame[:160], task="anomaly", out=out, report=False, verbose=False, validation_split=None)
    learn.fit(1)
    assert set(learn.predict(frame[:3]).columns) == {"scores"}


def test_a_network_that_gives_no_score_is_refused(frame, out):
    with pytest.raises(ModelError, match="a dict with 'score'"):
        Learner(torch.nn.Linear(4, 1), frame, task="anomaly", out=out, report=False, verbose=False).fit(1)
    with pytest.raises(ArgumentError, match="pixel_auroc compares maps with masks. The network gives no maps"):
        Learner(Copy(), frame, task="anomaly", metrics=["pixel_auroc"], out=out, report=False, verbose=False).fit(1)


# Pictures


def test_the_layout_of_mvtec(tmp_path):
    raw = sources.load(stripes(tmp_path))
    assert (raw.kind, raw.task, list(raw.splits)) == ("image", "anomaly", ["train", "test"])
    test = raw.splits["test"]
    assert [target["label"] for target in test.y] == ["good"] * 5 + ["spot"] * 5
    assert [target["mask"] is None for target in test.y] == [True] * 5 + [False] * 5


def test_good_without_train_and_without_masks(tmp_path):
    root = stripes(tmp_path)
    (root / "train" / "good").rename(root / "good")
    (root / "train").rmdir()
    shutil.rmtree(root / "ground_truth")
    raw = sources.load(root, kinds=("image",), task="anomaly")
    assert len(raw.splits["train"]) == 40
    assert all(target["mask"] is None for target in raw.splits["test"].y)


def test_a_class_called_good_is_a_class(tmp_path):
    root = stripes(tmp_path)
    shutil.copytree(root / "train" / "good", root / "train" / "spot")
    assert sources.load(root, kinds=("image",)).task == "classification"
    with pytest.raises(DataError, match="learns from good pictures alone. .*spot/. Move it to test/"):
        sources.load(root, kinds=("image",), task="anomaly")


def test_a_folder_without_good(tmp_path):
    root = stripes(tmp_path)
    (root / "train" / "good").rename(root / "train" / "fine")
    with pytest.raises(DataError, match=r"pictures in train/good/ or good/. .* holds ground_truth/, test/, train/"):
        sources.load(root, kinds=("image",), task="anomaly")


def test_a_missing_mask_and_a_mask_of_another_size(tmp_path):
    root = stripes(tmp_path)
    (root / "ground_truth" / "spot" / "2_mask.png").unlink()
    with pytest.raises(DataError, match="2.png has no mask in ground_truth/spot/"):
        sources.load(root)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "ground_truth" / "spot" / "2_mask.png")
    with pytest.raises(DataError, match="2_mask.png is 8x8, its picture 32x32"):
        sources.load(root)
    raw = sources.load(root, on_bad_item="skip")
    assert len(raw.splits["test"]) == 9
    assert "left out" in " ".join(raw.notes)


def test_masks_lie_in_the_frame():
    mask = np.zeros((16, 16), np.uint8)
    mask[:8] = 1
    targets = objects([{"label": "good", "mask": None}, {"label": "spot", "mask": mask}, {"label": "spot", "mask": None}])
    task = Anomaly(size=(32, 32))
    batch = task.encode(targets).gather(torch.arange(3))
    assert batch["target"].tolist() == [0, 1, 1]
    assert (batch["mask"][0] == 0).all()
    assert batch["mask"][1].sum() == 16 * 32
    assert (batch["mask"][2] == 255).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_learns_without_the_network(name, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    torch.manual_seed(0)
    built = zoo.build(name, FACTS, TARGET)
    model = adapt(built.net, ("image",))
    task = Anomaly.fit(np.zeros(4))
    x, y = {"image": torch.randn(4, 1, 32, 32)}, {"target": torch.zeros(4, dtype=torch.long)}
    out, loss = task.step(model.eval(), x, y, task.loss("network"))
    assert torch.isfinite(loss)
    optimizer, losses = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2), []
    for _ in range(30):
        out, loss = task.step(model.train(), x, y, task.loss("network"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert out["score"].shape == (4,)
    assert out["map"].shape == (4, 32, 32)
    assert zoo.model_info(name).tasks == ("anomaly",)
    assert any(buffer is built.net.threshold for buffer in built.net.buffers())


def test_patchcore_keeps_its_backbone_and_fills_its_memory():
    torch.manual_seed(0)
    net = zoo.build("patchcore/test_resnet", FACTS, TARGET).net
    before = {name: value.clone() for name, value in net.body.state_dict().items()}
    assert net.eval()(torch.randn(2, 1, 32, 32))["score"].tolist() == [0, 0]
    net.train()(torch.randn(4, 1, 32, 32))
    assert all((value == before[name]).all() for name, value in net.body.state_dict().items())
    assert 0 < (net.keys >= 0).sum() <= len(net.keys)
    kept = net.memory.clone()
    net.eval()(torch.randn(4, 1, 32, 32))
    assert (net.memory == kept).all()


def test_patchcore_finds_spots_and_where_they_are(tmp_path, out):
    root = stripes(tmp_path)
    learn = Learner("patchcore/test_resnet", root, out=out, report=False, verbose=False, metrics=["auroc", "pixel_auroc", "threshold", "recall"])
    learn.fit(2)
    assert "val_auroc" not in learn.history.keys()  # validation knows good pictures alone
    judged = learn.evaluate("test")
    assert judged["auroc"] > 0.95
    assert judged["pixel_auroc"] > 0.8
    results = learn.predict(sorted((root / "test" / "spot").glob("*.png")))
    assert results[0]["map"].shape == (32, 32)
    assert results[0]["map"][10:18, 10:18].mean() > results[0]["map"][22:].mean()
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    assert loaded.predict(root / "test" / "spot").anomalous == results.anomalous


def test_resuming_goes_on_as_if_nothing_had_happened(tmp_path, out):
    def scores(*epochs):
        learn = Learner("patchcore/test_resnet", stripes(tmp_path), out=out, report=False, verbose=False)
        for each in epochs:
            learn.fit(each)
        return learn.predict().scores

    assert (scores(2) == scores(1, 1)).all()
