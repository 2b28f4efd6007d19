"""Every verb on every input kind, task and form of data, generated from the registries."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from comparing import same_weights
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from fastgpu import Learner
from fastgpu.callbacks.base import CALLBACKS
from fastgpu.inputs import INPUTS
from fastgpu.tasks import TASKS
from fastgpu.zoo.entry import FAMILIES

N = 80


def pictures():
    x = np.random.default_rng(0).integers(0, 255, (N, 3, 12, 12), dtype=np.uint8)
    return x, x[:, 0].mean((1, 2))


def texts():
    strength = np.random.default_rng(0).normal(size=N)
    return [f"number {i} is {'good and fine' if s > 0 else 'bad'} today" for i, s in enumerate(strength)], strength


def rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), "kind": rng.choice(list("xyz"), N)})
    frame.loc[3, "a"] = np.nan
    return frame, frame["b"].to_numpy()


ITEMS = {"image": (pictures, "resnet10t"), "text": (texts, "text_encoder/tiny"), "table": (rows, "table_resnet")}
TARGETS = {
    "classification": lambda s: np.where(s > np.median(s), "high", "low"),
    "multilabel": lambda s: np.stack([s > np.quantile(s, q) for q in (0.3, 0.6)], 1).astype(int),
    "regression": lambda s: s * 3 + 7,
}


def take(x, index):
    return x.iloc[index] if hasattr(x, "iloc") else [x[i] for i in index] if isinstance(x, list) else x[index]


def data_of(kind, task):
    x, strength = ITEMS[kind][0]()
    y = TARGETS[task](np.asarray(strength))
    if kind == "table":
        names = [f"t{i}" for i in range(y.shape[1])] if y.ndim == 2 else ["target"]
        return x.assign(**dict(zip(names, y.reshape(N, -1).T))), names, x
    return (x, y), None, x


def test_the_matrix_is_whole():
    # The kinds and tasks of the fields are put to the same verbs in test_fields.py.
    assert set(ITEMS) <= set(INPUTS)
    assert set(TARGETS) <= set(TASKS)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("kind", ITEMS)
def test_every_verb(kind, task, out, tmp_path):
    data, target, items = data_of(kind, task)
    learn = Learner(ITEMS[kind][1], data, task=task, target=target, out=out, report=False, verbose=False)
    assert learn.data.sizes == {"train": 64, "val": 16}
    assert learn.lr_find(steps=12).valley > 0
    learn.fit(1)
    learn.fit_one_cycle(1)
    learn.fine_tune(1)
    assert len(learn.history) == 4
    judged = learn.evaluate()
    assert {"loss", learn.data.task.monitor} <= set(judged)
    assert judged["loss"] == pytest.approx(_best(learn)["val_loss"], rel=1e-4)
    some = take(items, [5, 0, 3])
    results = learn.predict(some)
    assert len(results) == 3
    column = "values" if task == "regression" else "probabilities"
    backwards = learn.predict(take(items, [3, 0, 5]))
    np.testing.assert_allclose(getattr(results, column)[::-1], getattr(backwards, column), rtol=1e-4, atol=1e-5)
    assert len(results.to_frame()) == 3
    for figure in (learn.show_batch(4), learn.show_results(4), learn.show_results(4, "train"), results.plot(), learn.history.plot()):
        assert figure.axes
        figure.canvas.draw()
    assert str(learn.summary())
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    np.testing.assert_array_equal(getattr(loaded.predict(some), column), getattr(results, column))
    assert loaded.predict(some).columns.keys() == results.columns.keys()
    assert repr(loaded.data).splitlines()[1:3] == repr(learn.data).splitlines()[1:3]
    assert len(loaded.predict(take(items, [0]))) == 1


def _best(learn):
    name = learn.data.task.monitor
    return learn.history.best(f"val_{name}", higher_is_better=bool(learn.data.task.metric(name).higher_is_better))


# Forms of data: each gives the same digits


class Plain(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return torch.from_numpy(self.x[i]).float() / 255, int(self.y[i])


class Module(pl.LightningDataModule):
    def __init__(self, train, val):
        super().__init__()
        self.train, self.val = train, val

    def train_dataloader(self):
        return DataLoader(Plain(*self.train), batch_size=20, shuffle=True)

    def val_dataloader(self):
        return DataLoader(Plain(*self.val), batch_size=50)


def in_folder(path, train, val):
    for split, (x, y) in (("train", train), ("val", val)):
        for i, (image, label) in enumerate(zip(x, y)):
            where = path / split / str(label)
            where.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(where / f"{i:04}.png")
    return path


def listed(path, train, val):
    in_folder(path, train, val)
    files = sorted(path.rglob("*.png"))
    frame = pd.DataFrame({"file": [str(f.relative_to(path)) for f in files], "label": [f.parent.name for f in files]})
    frame["split"] = [f.parent.parent.name for f in files]
    frame.to_csv(path / "list.csv", index=False)
    return path / "list.csv"


FORMS = {
    "arrays": lambda p, t, v: (t, v),
    "channels last": lambda p, t, v: ((t[0].transpose(0, 2, 3, 1), t[1]), (v[0].transpose(0, 2, 3, 1), v[1])),
    "no channels": lambda p, t, v: ((t[0][:, 0], t[1]), (v[0][:, 0], v[1])),
    "floats": lambda p, t, v: ((t[0] / 255, t[1]), (v[0] / 255, v[1])),
    "tensors": lambda p, t, v: (tuple(map(torch.from_numpy, t)), tuple(map(torch.from_numpy, v))),
    "folder": in_folder,
    "csv of pictures": listed,
    "data sets": lambda p, t, v: (Plain(*t), Plain(*v)),
    "one data set": lambda p, t, v: Plain(*t),
    "tensor data set": lambda p, t, v: TensorDataset(*map(torch.from_numpy, t)),
    "loaders": lambda p, t, v: (DataLoader(Plain(*t), batch_size=20, shuffle=True), DataLoader(Plain(*v), batch_size=50)),
    "data module": lambda p, t, v: Module(t, v),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_continues_and_predicts(form, digits, out, tmp_path):
    train, val = digits

    def learner():
        return Learner("mlp", FORMS[form](tmp_path / "data", train, val), out=out, report=False, verbose=False, batch_size=20)

    learn, whole = learner(), learner()
    learn.fit(2)
    learn.fit(1)
    whole.fit(3)
    assert same_weights(learn, whole)  # loaders that shuffle by themselves included
    assert learn.history["loss"][-1] < learn.history["loss"][0]
    assert "val_accuracy" in learn.history.history
    assert len(learn.data.classes) == 10
    assert len(learn.predict()) in (len(val[1]), 40)
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    raw = val[0][:5] / np.float32(255) if isinstance(learn.data.input.keys, tuple) and learn.data.input.kind == "tensors" else val[0][:5]
    assert loaded.predict(raw).labels == learn.predict(raw).labels


def test_a_picture_file_is_read_as_the_array_was(make, digits, tmp_path):
    learn = make()
    learn.fit(3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = [folder / f"{i}.png" for i in range(4)]
    for file, image in zip(files, digits[1][0]):
        Image.fromarray(image[0]).save(file)
    expected = learn.predict(digits[1][0][:4])
    for given in (files, [str(f) for f in files], [Image.open(f) for f in files], folder):
        np.testing.assert_array_equal(learn.predict(given).probabilities, expected.probabilities)
    assert learn.predict(files[2]).labels == expected.labels[2:3]
    colour = [Image.open(f).convert("RGB") for f in files]
    np.testing.assert_array_equal(learn.predict(colour).probabilities, expected.probabilities)


def test_parquet(out, tmp_path):
    pytest.importorskip("pyarrow")
    x, y = rows()
    x.assign(target=y).to_parquet(tmp_path / "t.parquet")
    learn = Learner("mlp", tmp_path / "t.parquet", out=out, report=False, verbose=False)
    assert learn.data.task.name == "regression"
    learn.fit(1)


def test_hugging_face_data_set(out):
    datasets = pytest.importorskip("datasets")
    x, y = pictures()
    data = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(p.transpose(1, 2, 0)) for p in x], "label": (y > np.median(y)).astype(int)},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "light"])}),
    )
    learn = Learner("mlp", data, out=out, report=False, verbose=False)
    learn.fit(1)
    assert learn.data.classes == ("dark", "light")
    assert set(learn.predict(x[:3]).labels) <= {"dark", "light"}


def test_pictures_too_many_for_memory_train_the_same(make, digits, tmp_path, monkeypatch, out):
    path = in_folder(tmp_path / "data", *digits)
    kept = Learner("resnet10t", path, out=out, report=False, verbose=False)
    kept.fit(2)
    monkeypatch.setattr("fastgpu.reading.pictures.MEMORY_BUDGET", 0)
    lazy = Learner("resnet10t", path, out=out, report=False, verbose=False)
    assert not lazy.data.splits["train"].x.in_memory
    lazy.fit(2)
    assert same_weights(kept, lazy)


@pytest.mark.parametrize("family", ["mlp", "table_resnet", "text_bag", "text_encoder"])
def test_every_family_of_the_core_learns(family, out):
    for name in FAMILIES[family].names():
        entry = FAMILIES[family].entry(name)
        for kind in entry.inputs:
            data, target, _ = data_of(kind, "classification")
            learn = Learner(name, data, target=target, out=out, report=False, verbose=False, validation_split=None)
            history = learn.fit(6)
            assert history["loss"][-1] < history["loss"][0], (name, kind)


@pytest.mark.parametrize("callback", CALLBACKS)
def test_every_callback_by_name_serves_two_fits(callback, make, out):
    def trained(*epochs):
        learn = make(callbacks=callback)
        for count in epochs:
            learn.fit(count)
        return learn

    learn = trained(1, 1)
    assert len(learn.history) == 2
    if callback in ("distillation", "pruning", "quantization_aware_training"):  # these change what is trained, in each fit anew
        assert same_weights(learn, trained(1, 1))
    else:
        assert same_weights(learn, trained(2))
        plain = make()
        plain.fit(2)
        assert same_weights(learn, plain)


def test_augmentation_varies_training_only(make):
    learn = make("resnet10t", augment=True)
    learn.fit(2)
    plain = make("resnet10t")
    plain.fit(2)
    assert not same_weights(learn, plain)
    assert learn.evaluate() == learn.evaluate()
    again = make("resnet10t", augment=True)
    again.fit(2)
    assert same_weights(learn, again)


def test_evaluate_takes_other_data(make, digits):
    learn = make()
    learn.fit(2)
    assert learn.evaluate(digits[1]) == pytest.approx(learn.evaluate())
    assert learn.evaluate("train")["accuracy"] > 0
    assert learn.evaluate(digits[0]) == pytest.approx(learn.evaluate("train"))
