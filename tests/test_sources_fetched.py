"""Data sets that are fetched: from a server on this machine, from the disk, and without a network."""

from __future__ import annotations

import gc
import gzip
import hashlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastgpu.data.raw import Raw
from fastgpu.data.sources import load
from fastgpu.data.sources.catalogue import PUBLIC
from fastgpu.data.sources.huggingface import StoredPicture
from fastgpu.data.sources.network import reachable
from fastgpu.errors import DataError, NetworkError, RunFolderError

CLOSED = "http://127.0.0.1:9"  # the port "discard": nobody listens


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def idx(array: np.ndarray) -> bytes:
    """An array in the format of MNIST's files."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch):
    """torchvision's MNIST with a few pictures on a server here in place of its own."""
    datasets = pytest.importorskip("torchvision.datasets")
    folder, address = served
    pictures = np.arange(7 * 28 * 28).reshape(7, 28, 28) % 256
    digits = np.array([7, 2, 1, 0, 4, 1, 9])
    files = {
        "train-images-idx3-ubyte.gz": idx(pictures[:5]),
        "train-labels-idx1-ubyte.gz": idx(digits[:5]),
        "t10k-images-idx3-ubyte.gz": idx(pictures[5:]),
        "t10k-labels-idx1-ubyte.gz": idx(digits[5:]),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{address}/"])
    monkeypatch.setattr(
        datasets.MNIST, "resources", [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    )
    return datasets.MNIST, pictures, digits


def check_mnist(raw: object, pictures: np.ndarray, digits: np.ndarray) -> None:
    assert isinstance(raw, Raw)
    assert (raw.name, raw.kind, raw.task) == ("mnist", "image", "classification")
    np.testing.assert_array_equal(raw.splits["train"].x[:, 0], pictures[:5])
    np.testing.assert_array_equal(raw.splits["test"].y, digits[5:])


def test_mnist_is_fetched_once_then_read_from_the_disk(small_mnist, served, tmp_path, monkeypatch, capfd):
    mnist, pictures, digits = small_mnist
    raw = load("MNIST", data_dir=tmp_path / "data")
    check_mnist(raw, pictures, digits)
    assert "fetched into" in raw.notes[0]
    assert "Fetching mnist" in capfd.readouterr().err
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["MNIST"]
    monkeypatch.setattr(mnist, "mirrors", [f"{CLOSED}/"])
    again = load("mnist", data_dir=tmp_path / "data")
    check_mnist(again, pictures, digits)
    assert again.notes == ()


def test_files_put_in_place_by_hand_need_no_network(small_mnist, served, tmp_path, monkeypatch):
    mnist, pictures, digits = small_mnist
    monkeypatch.setattr(mnist, "mirrors", [f"{CLOSED}/"])
    monkeypatch.setenv("FASTGPU_DATA", str(tmp_path / "data"))
    with pytest.raises(NetworkError, match=r"127.0.0.1:9 does not answer. Connect, or put train-images.*into .*MNIST/raw\.$"):
        load("mnist")
    assert not (tmp_path / "data").exists()
    place = tmp_path / "data" / "MNIST" / "raw"
    place.mkdir(parents=True)
    for file in served[0].iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    check_mnist(load("mnist"), pictures, digits)


def test_wrong_digest_is_refused_and_leaves_nothing(small_mnist, served, tmp_path):
    file = served[0] / "train-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match="must have the digest that torchvision knows. 'mnist'"):
        load("mnist", data_dir=tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torchvision leaves the answer open
def test_file_that_the_server_lacks(small_mnist, served, tmp_path):
    (served[0] / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(NetworkError, match="'mnist' could not be fetched: .*404"):
        load("mnist", data_dir=tmp_path / "data")
    gc.collect()


def test_data_folder_that_cannot_be_written(small_mnist, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="Fetched data need a folder with room"):
        load("mnist", data_dir=tmp_path / "file" / "data")


def test_imagenette_on_the_disk_gives_paths_and_names(tmp_path):
    for split in ("train", "val"):
        for i, folder in enumerate(("n01440764", "n02102040", "n02979186")):
            place = tmp_path / "imagenette2-160" / split / folder
            place.mkdir(parents=True)
            Image.new("RGB", (4, 4), (i, 0, 0)).save(place / "a.JPEG")
            (place / "a.JPEG").rename(place / "a.jpeg")
    raw = load("imagenette", data_dir=tmp_path, image_size=128)
    assert isinstance(raw, Raw)
    assert list(raw.splits) == ["train", "val"]
    assert raw.classes is not None
    assert raw.classes[:2] == ("tench", "English springer")
    train = raw.splits["train"]
    assert train.y is not None
    assert train.y.tolist() == list(raw.classes)
    assert Path(train.x[0]).is_file()


def test_pets_on_the_disk(tmp_path):
    folder = tmp_path / "oxford-iiit-pet"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    (folder / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\nbeagle_7 2 2 1\n")
    (folder / "annotations" / "test.txt").write_text("beagle_9 2 2 1\nAbyssinian_3 1 1 1\n")
    raw = load("oxford-iiit-pet", data_dir=tmp_path)
    assert isinstance(raw, Raw)
    assert raw.classes == ("Abyssinian", "Beagle")
    assert raw.splits["test"].y is not None
    assert raw.splits["test"].y.tolist() == ["Beagle", "Abyssinian"]
    assert raw.splits["train"].x[1] == str(folder / "images" / "beagle_7.jpg")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_catalogue_matches_torchvision(name):
    """Every class is there, and knows the file names that the catalogue gives."""
    source = Path(__import__("torchvision.datasets", fromlist=["mnist"]).__file__).parent
    known = PUBLIC[name]
    module = Path(__import__(known.make().__module__, fromlist=["x"]).__file__ or "")
    assert module.parent == source
    text = module.read_text()
    for url, place in known.files((64, 64)):
        assert url.rsplit("/", 1)[-1] in text or "{" in text, url
        assert Path(place).name == url.rsplit("/", 1)[-1]
        assert url.startswith("http")


def test_reachable_in_time(served):
    folder, address = served
    assert reachable([f"{address}/no-such-file"])
    assert not reachable([CLOSED])
    assert reachable([CLOSED, address])


# Hugging Face


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", CLOSED)
    return pytest.importorskip("datasets")


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 3), value).save(file, "png")
    return file.getvalue()


def test_pictures_of_a_datasets_object_are_decoded_when_asked_for(datasets, tmp_path):
    (tmp_path / "on_disk.png").write_bytes(png(40))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    cells = [{"bytes": png(10), "path": "ten.png"}, {"bytes": png(20), "path": None}, str(tmp_path / "on_disk.png")]
    data = datasets.Dataset.from_dict({"image": cells, "label": [1, 0, 1]}, features=features)
    raw = load(datasets.DatasetDict(train=data, validation=data.select([2, 0]), unsupervised=data))
    assert isinstance(raw, Raw)
    assert raw.kind == "image"
    assert raw.classes == ("dog", "cat")
    assert raw.target == ("label",)
    train, val = raw.splits["train"], raw.splits["val"]
    assert train.y is not None
    assert train.y.tolist() == ["cat", "dog", "cat"]
    assert [Image.open(item).getpixel((0, 0)) for item in train.x] == [10, 20, 40]
    assert [Image.open(item).getpixel((0, 0)) for item in val.x] == [40, 10]
    assert isinstance(train.x[0], StoredPicture)
    assert repr(train.x[0]) == "picture 0 of train (ten.png)"
    assert "splits not used: unsupervised" in raw.notes
    assert [Image.open(item).getpixel((0, 0)) for item in train.x] == [10, 20, 40]


def test_texts_and_tables_of_a_datasets_object(datasets):
    label = datasets.ClassLabel(names=["bad", "good"])
    texts = ["a very good film", "not for me at all", "dull from start to end"]
    data = datasets.Dataset.from_dict({"text": texts, "label": [1, 0, 0]}).cast_column("label", label)
    unlabelled = datasets.Dataset.from_dict({"text": texts, "label": [-1, -1, -1]}).cast_column("label", label)
    raw = load(datasets.DatasetDict(train=data, test=unlabelled))
    assert isinstance(raw, Raw)
    assert raw.kind == "text"
    assert raw.splits["train"].x.tolist() == texts
    assert list(raw.splits) == ["train"]
    assert "none of its 3 rows has a target" in raw.notes[-1]
    table = load(datasets.Dataset.from_dict({"age": [1, 2], "city": ["Bonn", "Rome"], "price": [0.5, 1.5]}), target="price")
    assert isinstance(table, Raw)
    assert table.kind == "table"
    assert list(table.splits["train"].x.columns) == ["age", "city"]
    with pytest.raises(DataError, match="which is streamed"):
        load(data.to_iterable_dataset())


def test_hub_without_network_and_without_cache(datasets, tmp_path):
    with pytest.raises(
        NetworkError, match="hf:nobody/nothing must be fetched once, and is not in the cache: 127.0.0.1:9 does not"
    ):
        load("hf:nobody/nothing", data_dir=tmp_path)
    with pytest.raises(DataError, match="takes the name of a data set"):
        load("hf:a/b/c")


def test_hub_without_network_takes_the_cache(datasets, tmp_path):
    """A data set that was fetched before: the folders that `datasets` keeps, made here by loading a CSV file."""
    (tmp_path / "a.csv").write_text("age,label\n1,0\n2,1\n")
    built = datasets.load_dataset("csv", data_files=str(tmp_path / "a.csv"), cache_dir=str(tmp_path / "build"))["train"]
    made = Path(built.cache_files[0]["filename"]).parent
    place = tmp_path / "data" / "huggingface" / "someone___people" / "default" / "0.0.0" / "abc"
    place.mkdir(parents=True)
    info = json.loads((made / "dataset_info.json").read_text())
    info.update(dataset_name="people", config_name="default", builder_name="csv")
    info["splits"]["train"]["dataset_name"] = "people"
    (place / "dataset_info.json").write_text(json.dumps(info))
    (place / "people-train.arrow").write_bytes((made / "csv-train.arrow").read_bytes())
    raw = load("hf:someone/people", data_dir=tmp_path / "data")
    assert isinstance(raw, Raw)
    assert raw.name == "people"
    assert len(raw.splits["train"]) == 2
