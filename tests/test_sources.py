"""Sources of data on real files and objects: what is recognised, what comes out, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

from fastgpu.data.infer import infer_task
from fastgpu.data.raw import Items, Raw
from fastgpu.data.ready import Ready
from fastgpu.data.sources import list_names, load
from fastgpu.data.splits import split
from fastgpu.errors import ArgumentError, DataError, UnknownNameError


def raw_of(data, **options) -> Raw:
    raw = load(data, **options)
    assert isinstance(raw, Raw)
    return raw


def picture(path: Path, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (value, value, value)).save(path)
    return path


def picture_folder(folder: Path, classes=("cat", "dog"), each: int = 3) -> Path:
    for name in classes:
        for i in range(each):
            picture(folder / name / f"{i}.png", 10 * i)
    return folder


# samples and names


def test_digits_are_the_uci_set():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    raw = raw_of("digits")
    train = raw.splits["train"]
    real = sklearn_datasets.load_digits()
    assert train.x.shape == (1797, 1, 8, 8)
    assert train.x.dtype == np.uint8
    np.testing.assert_array_equal(train.x[:, 0], np.rint(real.images * 255 / 16).astype(np.uint8))
    np.testing.assert_array_equal(train.y, real.target)
    assert raw.classes == tuple(range(10))
    assert raw.task == "classification"
    assert "CC BY 4.0" in raw.origin


def test_digits_have_the_counts_that_uci_gives():
    train = raw_of("digits").splits["train"]
    assert train.y is not None
    assert np.bincount(train.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (train.x.min(), train.x.max(), len(np.unique(train.x))) == (0, 255, 17)


def test_names_are_listed():
    assert {"digits", "mnist", "cifar10", "imagenette"} <= set(list_names())


@pytest.mark.parametrize(("name", "near"), [("digit", "digits"), ("mnits", "mnist"), ("cifar-11", "cifar10")])
def test_misspelt_name_gets_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"Unknown data set '{name}'.*'{near}'"):
        load(name)


def test_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"photos does not: .* is there, 'photos' is not in it"):
        load(str(tmp_path / "photos"))
    with pytest.raises(DataError, match="is not there either"):
        load(tmp_path / "nowhere" / "photos")


def test_string_that_cannot_be_a_path():
    with pytest.raises(DataError, match="A string of 10,000 characters came"):
        load("a/" * 5000)


@pytest.mark.parametrize("data", [3.5, None, (1, 2), [], object()])
def test_unrecognised_data_lists_the_forms(data):
    with pytest.raises(DataError, match="Data come in one of these forms: .* came"):
        load(data)


def test_target_means_nothing_for_other_forms(tmp_path):
    with pytest.raises(ArgumentError, match="target names a column of a table"):
        load(picture_folder(tmp_path), target="label")
    with pytest.raises(UnknownNameError, match="on_bad_item 'skipp'.*'skip'"):
        load("digits", on_bad_item="skipp")
    with pytest.raises(ArgumentError, match="image_size is a number of pixels"):
        load("digits", image_size=0)


# folders of pictures


def test_folder_of_classes(tmp_path):
    picture_folder(tmp_path / "pets", ("dog", "cat"))
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("x")
    (tmp_path / "pets" / "cat" / ".hidden.png").write_text("x")
    raw = raw_of(str(tmp_path / "pets"))
    train = raw.splits["train"]
    assert (raw.name, raw.kind, raw.task, raw.classes) == ("pets", "image", "classification", ("cat", "dog"))
    assert train.y is not None
    assert train.y.tolist() == ["cat"] * 3 + ["dog"] * 3
    assert [Path(p).name for p in train.x] == ["0.png", "1.png", "2.png"] * 2
    assert raw.notes == ("1 file in pets/ passed over: no picture by the name",)


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folder_of_splits(tmp_path, val):
    for part in ("train", val, "test"):
        picture_folder(tmp_path / part)
    raw = raw_of(tmp_path)
    assert list(raw.splits) == ["train", "val", "test"]
    assert all(len(items) == 6 for items in raw.splits.values())


def test_unlabelled_test_folder_is_left_out(tmp_path):
    picture_folder(tmp_path / "train")
    picture(tmp_path / "test" / "a.png")
    raw = raw_of(tmp_path)
    assert list(raw.splits) == ["train"]
    assert "test/ has no class folders" in raw.notes[0]


def test_folder_mistakes(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no folder and no picture"):
        load(tmp_path / "empty")
    picture(tmp_path / "flat" / "a.png")
    with pytest.raises(DataError, match="holds 1 picture and no folder"):
        load(tmp_path / "flat")
    (tmp_path / "bare" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pictures in folders"):
        load(tmp_path / "bare")
    with pytest.raises(DataError, match="at least two classes.*has one, 'cat'"):
        load(picture_folder(tmp_path / "one", ("cat",)))
    picture_folder(tmp_path / "odd" / "train")
    picture_folder(tmp_path / "odd" / "val", ("cat", "dogs"))
    with pytest.raises(DataError, match="also has 'dogs'. Did you mean 'dog'"):
        load(tmp_path / "odd")
    picture_folder(tmp_path / "late" / "val")
    with pytest.raises(DataError, match="holds val/ but no train/"):
        load(tmp_path / "late")
    with pytest.raises(ArgumentError, match="task='regression' came"):
        load(picture_folder(tmp_path / "two"), task="regression")


# tables


def numbers(rows: int = 12) -> pd.DataFrame:
    return pd.DataFrame({"age": range(rows), "city": ["Bonn", "Rome", "Oslo"] * (rows // 3), "label": ["a", "b"] * (rows // 2)})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_table_files(tmp_path, suffix):
    path = tmp_path / f"people{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
        numbers().to_parquet(path)
    else:
        numbers().to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    raw = raw_of(path)
    train = raw.splits["train"]
    assert (raw.name, raw.kind, raw.target, raw.task) == ("people", "table", ("label",), None)
    assert list(train.x.columns) == ["age", "city"]
    assert len(train) == 12
    assert train.y is not None
    assert train.y.tolist() == ["a", "b"] * 6
    assert infer_task(raw) == "classification"


def test_semicolons_and_saved_row_numbers(tmp_path):
    numbers().to_csv(tmp_path / "a.csv", sep=";")
    raw = raw_of(tmp_path / "a.csv")
    assert list(raw.splits["train"].x.columns) == ["age", "city"]
    assert any("semicolons" in note for note in raw.notes)
    assert any("numbers the rows" in note for note in raw.notes)


def test_target_column_by_name_and_by_default():
    frame = numbers().rename(columns={"label": "kind"})
    with pytest.raises(DataError, match="None of target, label, class, y is there; the columns are age, city, kind"):
        load(frame)
    assert raw_of(frame, target="kind").target == ("kind",)
    with pytest.raises(DataError, match="'kindd' came; the columns are age, city, kind. Did you mean 'kind'"):
        load(frame, target="kindd")
    with pytest.raises(DataError, match="label and y both could be"):
        load(numbers().assign(y=1))
    regression = raw_of(numbers(), target="age")
    assert list(regression.splits["train"].x.columns) == ["city", "label"]


def test_missing_targets_raise_or_are_skipped():
    frame = numbers()
    frame.loc[[2, 5, 7, 9], "label"] = None
    with pytest.raises(DataError, match=r"4 of 12 have none: rows 2, 5, 7 and 1 more \(from 0\)"):
        load(frame)
    raw = raw_of(frame, on_bad_item="skip")
    train = raw.splits["train"]
    assert len(train) == 8
    assert train.y is not None
    assert train.y.dtype.kind == "U"
    assert "4 rows of train left out" in raw.notes[0]
    with pytest.raises(DataError, match="3 of 12 have none"):
        load(numbers().assign(label=[np.nan, np.inf, -np.inf] + [1.0] * 9))


def test_split_column_and_split_files(tmp_path):
    frame = numbers().assign(split=["train"] * 8 + ["valid"] * 2 + ["test"] * 2)
    raw = raw_of(frame)
    assert {k: len(v) for k, v in raw.splits.items()} == {"train": 8, "val": 2, "test": 2}
    assert list(raw.splits["val"].x.columns) == ["age", "city"]
    assert "split" in raw_of(numbers().assign(split=range(12))).splits["train"].x.columns
    numbers().to_csv(tmp_path / "train.csv", index=False)
    numbers(6).to_csv(tmp_path / "val.csv", index=False)
    numbers(6).drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    raw = raw_of(tmp_path)
    assert {k: len(v) for k, v in raw.splits.items()} == {"train": 12, "val": 6}
    assert raw.notes == ("test left out: it has no column label",)
    numbers(6).drop(columns="city").to_csv(tmp_path / "val.csv", index=False)
    with pytest.raises(DataError, match="val lacks city"):
        load(tmp_path)


def test_several_targets():
    frame = pd.DataFrame({"age": range(4), "red": [0, 1, 1, 0], "round": [1, 1, 0, 0]})
    raw = raw_of(frame, target=["red", "round"])
    train = raw.splits["train"]
    assert (raw.task, raw.classes, raw.target) == ("multilabel", ("red", "round"), ("red", "round"))
    assert train.y is not None
    assert train.y.shape == (4, 2)
    assert raw_of(frame.assign(red=[0.5, 1, 2, 3]), target=["red", "round"]).task == "regression"
    with pytest.raises(DataError, match="'red' holds names"):
        load(frame.assign(red=list("abcd")), target=["red", "round"])


def test_text_column():
    reviews = ["a very good film", "not my taste at all", "dull from start to end", "I would see it again"] * 2
    raw = raw_of(pd.DataFrame({"review": reviews, "label": [1, 0, 0, 1] * 2}))
    assert raw.kind == "text"
    assert raw.splits["train"].x.tolist() == reviews
    assert "column 'review' as text" in raw.notes[0]
    frame = pd.DataFrame({"id": range(8), "text": reviews, "label": [1, 0, 0, 1] * 2})
    frame.loc[3, "text"] = None
    with pytest.raises(DataError, match="Every row must have a text in column 'text' of train. 1 of 8 have none: row 3"):
        load(frame)
    raw = raw_of(frame, on_bad_item="skip")
    assert len(raw.splits["train"]) == 7
    assert "not used: id" in raw.notes[0]
    assert raw_of(pd.DataFrame({"city": ["Bonn", "Rome"] * 4, "label": [1, 0] * 4})).kind == "table"
    pairs = raw_of(pd.DataFrame({"first": reviews, "second": reviews[::-1], "label": [1, 0] * 4}))
    assert pairs.kind == "table"
    assert "columns of prose taken as categories: first, second" in pairs.notes[0]


def test_picture_column(tmp_path):
    for i in range(4):
        picture(tmp_path / "img" / f"{i}.png")
    frame = pd.DataFrame({"path": [f"img/{i}.png" for i in range(4)], "label": [0, 1, 0, 1]})
    frame.to_csv(tmp_path / "list.csv", index=False)
    raw = raw_of(tmp_path / "list.csv")
    assert raw.kind == "image"
    assert all(Path(p).is_file() for p in raw.splits["train"].x)
    with pytest.raises(DataError, match="None of the first 4 in column 'path' is"):
        load(frame.assign(path=[f"gone/{i}.png" for i in range(4)]))


def test_table_mistakes(tmp_path):
    path = tmp_path / "a.csv"
    for content, message in [(b"", "is empty"), (b"x,label\n", "has none"), (b"x,label\n\xff\xfe\xfa,1\n", "must be UTF-8 text")]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load(path)
    path.write_text('x,label\n1,2\n1,2,3,4\n"')
    with pytest.raises(DataError, match="must be readable by pandas"):
        load(path)
    path.write_text("label\n1\n")
    with pytest.raises(DataError, match="needs input columns"):
        load(path)
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(DataError, match="ends in .csv.*a.xlsx came"):
        load(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="'age' is there more than once"):
        load(pd.DataFrame([[1, 2, 3]], columns=["age", "age", "label"]))


# arrays


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    [
        (np.zeros((4, 9, 8), np.uint8), (4, 1, 9, 8), np.uint8),
        (np.zeros((4, 9, 8, 3), np.uint8), (4, 3, 9, 8), np.uint8),
        (np.zeros((4, 3, 9, 8), np.float64), (4, 3, 9, 8), np.float32),
        (np.zeros((4, 9, 8), np.float16), (4, 1, 9, 8), np.float32),
        (np.ones((4, 9, 8), bool), (4, 1, 9, 8), np.uint8),
        (np.full((4, 9, 8), 255, np.int64), (4, 1, 9, 8), np.uint8),
        (np.full((4, 9, 8), 256, np.int64), (4, 1, 9, 8), np.float32),
    ],
)
def test_picture_arrays(x, shape, dtype):
    for given in (x, torch.from_numpy(x)):
        raw = raw_of((given, [0, 1, 0, 1]))
        items = raw.splits["train"].x
        assert raw.kind == "image"
        assert tuple(items.shape) == shape
        assert np.asarray(items).dtype == dtype
        assert np.asarray(items).max() == (255 if x.dtype == bool else x.max())


def test_doubtful_layout_is_noted():
    x = np.random.default_rng(0).random((4, 3, 9, 3))
    last = raw_of((x, [0, 1, 0, 1]))
    assert last.splits["train"].x.shape == (4, 3, 3, 9)
    assert "(n, h, w, c), the order of arrays" in last.notes[0]
    first = raw_of((torch.from_numpy(x), [0, 1, 0, 1]))
    assert first.splits["train"].x.shape == (4, 3, 9, 3)
    assert "(n, c, h, w), the order of tensors" in first.notes[0]


def test_numbers_texts_files_and_pil(tmp_path):
    y = [0, 1, 0]
    rows = raw_of((np.zeros((3, 5)), y))
    assert rows.kind == "table"
    assert rows.splits["train"].x.dtype == np.float64
    assert raw_of((np.zeros((3, 5), np.float32), y)).splits["train"].x.dtype == np.float32
    assert raw_of(([[1, 2], [3, 4], [5, 6]], y)).kind == "table"
    assert raw_of((pd.DataFrame({"a": [1, 2, 3]}), pd.Series(y))).kind == "table"
    for texts in (["a b", "c", "d"], np.array(["a b", "c", "d"]), pd.Series(["a b", "c", "d"])):
        raw = raw_of((texts, y))
        assert raw.kind == "text"
        assert raw.splits["train"].x.tolist() == ["a b", "c", "d"]
    files = [picture(tmp_path / f"{i}.png") for i in range(3)]
    assert raw_of((files, y)).splits["train"].x.tolist() == [str(f) for f in files]
    assert raw_of(([Image.new("L", (4, 4)) for _ in files], y)).kind == "image"
    assert raw_of(([torch.zeros(3, 4, 4)] * 3, y)).splits["train"].x.shape == (3, 3, 4, 4)
    sizes = raw_of(([np.zeros((i + 2, 4, 3), np.uint8) for i in range(3)], y))
    assert [p.size for p in sizes.splits["train"].x] == [(4, 2), (4, 3), (4, 4)]


def test_splits_of_arrays():
    x, y = np.zeros((6, 4)), np.arange(6) % 2
    for data in (((x, y), (x[:2], y[:2])), {"train": (x, y), "validation": (x[:2], y[:2])}):
        raw = raw_of(data)
        assert {k: len(v) for k, v in raw.splits.items()} == {"train": 6, "val": 2}
    assert list(raw_of(((x, y), (x, y), (x, y))).splits) == ["train", "val", "test"]
    with pytest.raises(UnknownNameError, match="Unknown split 'trian'. Did you mean 'train'"):
        load({"trian": (x, y)})
    with pytest.raises(DataError, match="needs 'train'"):
        load({"val": (x, y)})
    with pytest.raises(DataError, match="train table, val image came"):
        load(((x, y), (np.zeros((6, 4, 4)), y)))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 4)), [0, 1], "x has 3 items, y 2"),
        (np.zeros((0, 4)), [], "x is empty"),
        (np.zeros(3), [0, 1, 0], r"shape \(3,\). Make it x.reshape\(-1, 1\)"),
        (np.zeros((3, 2, 2, 2, 2)), [0, 1, 0], "Numbers come as rows"),
        (np.zeros((3, 8, 8, 7)), [0, 1, 0], "Pictures have 1, 3 or 4 channels"),
        (["a", 3, "b"], [0, 1, 0], "holds int, str"),
        (["a", None, "b"], [0, 1, 0], "1 of 3 in x have none: row 1"),
        (np.zeros((3, 4)), [0.5, np.nan, 1], r"1 of 3 in y are missing or not finite: row 1 \(from 0\)"),
        (np.zeros((3, 4)), ["a", None, "b"], "1 of 3 in y are missing"),
        (np.zeros((3, 4)), ["a", 1, "b"], "y holds int, str"),
        (np.zeros((3, 4)), np.zeros((3, 2, 2)), r"y has shape \(3, 2, 2\)"),
        (np.zeros((3, 4)), None, "y is None"),
        (np.zeros((3, 4)), np.array(["2026-01-01"] * 3, "datetime64[D]"), "holds datetime64"),
        ([torch.zeros(2, 2), torch.zeros(2, 3)], [0, 1], "Tensors in a list have one shape"),
    ],
)
def test_array_mistakes(x, y, message):
    with pytest.raises(DataError, match=message):
        load((x, y))


def test_items_without_target_can_be_skipped():
    raw = raw_of((np.arange(8).reshape(4, 2), ["a", None, "b", "a"]), on_bad_item="skip")
    train = raw.splits["train"]
    assert train.y is not None
    assert train.y.tolist() == ["a", "b", "a"]
    assert train.x[1, 0] == 4


# torch


class Pairs(Dataset):
    def __init__(self, length: int = 4) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        return torch.ones(2) * index, index % 2


def test_data_sets_and_loaders_are_taken_as_they_are():
    train, val = Pairs(), Pairs(2)
    for data in ((train, val), {"train": train, "valid": val}):
        ready = load(data)
        assert isinstance(ready, Ready)
        assert ready.splits == {"train": train, "val": val}
    loader = DataLoader(train, batch_size=2)
    ready = load(loader)
    assert isinstance(ready, Ready)
    assert ready.splits["train"] is loader
    with pytest.raises(DataError, match="The Pairs for val is empty"):
        load((train, Pairs(0)))
    with pytest.raises(UnknownNameError, match="Unknown split 'training_set'"):
        load({"training_set": train})


def test_plain_tensors_are_taken_out_of_their_data_set():
    x, y = torch.rand(8, 3, 5, 5), torch.arange(8) % 2
    raw = raw_of(TensorDataset(x, y))
    assert raw.kind == "image"
    assert torch.equal(raw.splits["train"].x, x)
    part = raw_of((Subset(TensorDataset(x, y), [3, 1]), random_split(TensorDataset(x, y), [6, 2])[1]))
    assert torch.equal(part.splits["train"].x, x[[3, 1]])
    assert part.splits["train"].y is not None
    assert part.splits["train"].y.tolist() == [1, 1]
    assert len(part.splits["val"]) == 2
    tokens = load(TensorDataset(torch.zeros(8, 5, dtype=torch.int64), y))
    assert isinstance(tokens, Ready)


def test_torchvision_folder_is_read_by_its_paths(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    transforms = pytest.importorskip("torchvision.transforms")
    picture_folder(tmp_path)
    raw = raw_of(datasets.ImageFolder(str(tmp_path)))
    assert raw.classes == ("cat", "dog")
    assert raw.splits["train"].y is not None
    assert raw.splits["train"].y[0] == "cat"
    assert isinstance(load(datasets.ImageFolder(str(tmp_path), transform=transforms.ToTensor())), Ready)


def test_lightning_data_module():
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningDataModule):
        def train_dataloader(self):
            return DataLoader(Pairs())

    module = Module()
    ready = load(module)
    assert isinstance(ready, Ready)
    assert ready.datamodule is module
    assert ready.splits == {}


# tasks and splits


def only(y) -> Raw:
    y = np.asarray(y)
    return Raw(name="x", kind="table", splits={"train": Items(np.zeros((len(y), 1)), y)})


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 2, 1], "classification"),
        ([5, 900, 5, 900], "classification"),
        (np.arange(1000) % 100, "classification"),
        (np.arange(200) % 100, "regression"),
        (np.arange(1000) * 7, "regression"),
        ([0.5, 1.5], "regression"),
        ([0.0, 1.0, 1.0], "classification"),
        (np.arange(30.0), "regression"),
        ([[0, 1], [1, 1]], "multilabel"),
        ([[0.5, 1], [1, 1]], "regression"),
        (np.array([["a"], ["a", "b"], []], dtype=object), "multilabel"),
    ],
)
def test_inferred_task(y, task):
    assert infer_task(only(y)) == task


@pytest.mark.parametrize("y", [["cat"] * 3, [1, 1], [0.5, 0.5]])
def test_targets_that_are_all_the_same(y):
    with pytest.raises(DataError, match=f"All {len(y)} are {y[0]}"):
        infer_task(only(y))


def test_split_is_stratified_and_repeatable():
    y = np.repeat(np.array(["a", "b", "c", "d"]), [100, 60, 3, 1])
    items = Items(np.arange(164), y)
    train, val, notes = split(items, 0.2, seed=3)
    again = split(items, 0.2, seed=3)[1]
    assert len(val) == 33
    assert sorted([*train.x, *val.x]) == list(range(164))
    assert val.y is not None
    assert dict(zip(*np.unique(val.y, return_counts=True), strict=True)) == {"a": 20, "b": 12, "c": 1}
    np.testing.assert_array_equal(val.x, again.x)
    assert not np.array_equal(val.x, split(items, 0.2, seed=4)[1].x)
    assert "33 of 164" in notes[0]
    assert "single item are in train only: d" in notes[1]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.35, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("counts", [[5, 5], [2, 2, 2, 2], [50, 3, 2], [1, 1, 1, 7], [2] * 40])
def test_split_keeps_each_class_in_both_parts_where_there_is_room(share, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    train, val, _ = split(Items(np.arange(len(y)), y), share)
    assert train.y is not None
    assert val.y is not None
    assert len(train) + len(val) == len(y)
    assert len(val) >= 1
    assert set(train.y) == set(y)
    if round(share * len(y)) >= sum(c > 1 for c in counts):
        assert set(val.y) == {c for c, n in enumerate(counts) if n > 1}


def test_split_at_random_and_its_mistakes():
    items = Items(np.arange(10), np.arange(20.0).reshape(10, 2))
    train, val, notes = split(items, 0.3)
    assert (len(train), len(val)) == (7, 3)
    assert "at random" in notes[0]
    for share in (0, 1, -0.1, 1.5, True):
        with pytest.raises(ArgumentError, match="more than 0 and less than 1"):
            split(items, share)
    with pytest.raises(DataError, match="at least two items. 1 came"):
        split(items.take(np.array([0])), 0.2)
