"""`fastgpu predict` with what each field takes and gives: films, folders of sounds, spoken texts, boxes and masks as rows."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from fields.detection import coco
from fields.segmentation import discs
from fields.text import reviews
from PIL import Image

from fastgpu import Learner
from fastgpu.cli import main
from fastgpu.errors import ArgumentError
from fastgpu.reading.video import Film
from fastgpu.results import Results
from fastgpu.tasks.detection import Detection


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(architecture, data, **settings):
    """A learner that has learnt nothing yet, in a file `model`."""
    learn = Learner(architecture, data, verbose=False, **settings)
    learn.save("model")
    return learn


def rows(capsys):
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


# imageio-ffmpeg leaves the pipes of a program that has ended to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_films_and_boxes(tmp_path, capsys, monkeypatch):
    saved("fcos/mobilenetv3_small_050", coco(tmp_path / "traffic", 12))
    frames = [Image.open(f) for f in sorted((tmp_path / "traffic" / "images").glob("*.png"))[:3]]
    frames[0].save("drive.gif", save_all=True, append_images=frames[1:], duration=100)
    assert main(["predict", "model", "drive.gif", "--out", "boxes.gif"]) == 0
    assert capsys.readouterr().out == "boxes.gif\n"
    assert len(Film("boxes.gif")) == 3

    assert main(["predict", "model", "drive.gif"]) == 0
    boxes = rows(capsys)
    assert {row["item"] for row in boxes} <= {"0", "1", "2"}  # the frames
    assert main(["predict", "model", "traffic/images/001.png", "traffic/images/000.png", "--out", "boxes.csv"]) == 0
    assert capsys.readouterr().out == "2 predictions in boxes.csv\n"
    table = pd.read_csv("boxes.csv")
    assert list(table.columns) == ["item", "label", "score", "left", "top", "right", "bottom"]

    assert main(["predict", "model", "drive.mp4", "drive.gif"]) == 2
    assert "A film is predicted by itself. drive.mp4 came with other items" in capsys.readouterr().err
    assert main(["predict", "model", "traffic/images/000.png", "--out", "boxes.foo"]) == 2
    assert "saved as .csv, .png, .jpg" in capsys.readouterr().err


def test_a_row_a_box():
    task = Detection(classes=("cat", "dog"), frame=(32, 32), box_sizes=(8.0, 16.0))
    found = [
        {"boxes": np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.float32), "labels": ["cat", "dog"], "scores": np.array([0.5, 0.25], np.float32)},
        {"boxes": np.zeros((0, 4), np.float32), "labels": [], "scores": np.zeros(0, np.float32)},
        {"boxes": np.array([[8, 8, 9, 9]], np.float32), "labels": ["cat"], "scores": np.array([0.75], np.float32)},
    ]
    results = Results({"boxes": found}, names=task.names, table=task.table)
    frame = results.to_frame()
    assert frame.to_dict("records")[1] == {"item": 0, "label": "dog", "score": 0.25, "left": 4, "top": 5, "right": 6, "bottom": 7}
    assert frame["item"].tolist() == [0, 0, 2]
    assert results[2:].to_frame()["item"].tolist() == [0]
    assert list(results[3:].to_frame().columns) == list(frame.columns)


def test_masks(tmp_path, capsys):
    pytest.importorskip("segmentation_models_pytorch")
    learn = saved("unet/test_resnet", discs(tmp_path))
    assert main(["predict", "model", "discs/images/00.png", "discs/images/01.png"]) == 0
    shares = rows(capsys)
    assert list(shares[0]) == ["item", *(f"share_{name}" for name in learn.data.classes)]
    assert sum(float(shares[1][name]) for name in list(shares[1])[1:]) == pytest.approx(1, abs=1e-4)
    assert main(["predict", "model", "discs/images/00.png", "--out", "mask.jpg"]) == 2
    assert "These predictions are saved as .csv, .png, .tif, .tiff, .bmp, .mp4" in capsys.readouterr().err
    assert main(["predict", "model", "discs/images/00.png", "--out", "made/here/mask.png"]) == 0
    assert np.asarray(Image.open("made/here/mask.png")).max() < len(learn.data.classes)


def test_texts_in_files_of_every_form(capsys):
    saved("text_bag", reviews())
    texts = ["a good film", "a sad end"]
    with open("new.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text, "year": 1999}) + "\n" for text in texts)
    pd.DataFrame({"review": texts}).to_csv("new.tsv.gz", sep="\t", index=False)
    with open("new.txt", "w") as file:
        file.write(f"{texts[0]}\r\n\n{texts[1]}\n")
    for file in ("new.jsonl", "new.tsv.gz", "new.txt"):
        assert main(["predict", "model", file]) == 0
        assert [row["item"] for row in rows(capsys)] == texts
    assert main(["predict", "model", "test"]) == 0  # a text, not the split of that name
    assert [row["item"] for row in rows(capsys)] == ["test"]


def test_sounds(tmp_path, capsys):
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("transformers")
    pytest.importorskip("soxr")
    from spoken_tones import RATE, ljspeech

    metadata = ljspeech(tmp_path / "speech", 12)
    saved("fastspeech2/tiny", metadata, sampling_rate=RATE, task="synthesis")
    assert main(["predict", "model", "abc", "--out", "abc.wav"]) == 0
    assert soundfile.info("abc.wav").samplerate == RATE
    pd.DataFrame({"text": ["abc", "ed"]}).to_csv("spoken.csv", index=False)
    assert main(["predict", "model", "spoken.csv", "--out", "many.wav"]) == 0
    assert capsys.readouterr().out.split() == ["abc.wav", "many-0.wav", "many-1.wav"]
    assert main(["predict", "model", "abc"]) == 2
    assert "--out hello.wav in a shell" in capsys.readouterr().err

    saved("parakeet_ctc/tiny", metadata, sampling_rate=RATE, task="recognition")
    assert main(["predict", "model", "speech/wavs", "speech/wavs/clip-003.wav"]) == 0
    heard = [row["item"] for row in rows(capsys)]
    assert len(heard) == 13
    assert heard[-1] == "speech/wavs/clip-003.wav"


def test_what_a_shell_cannot_give(capsys):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.randn(40, 3), torch.arange(40) % 2)
    saved("mlp", DataLoader(data, batch_size=8))
    assert main(["predict", "model", "x"]) == 2
    assert "A shell cannot give the items" in capsys.readouterr().err


def test_files_of_rows_are_read_in_python_too(tmp_path):
    frame = reviews()
    frame.to_csv("reviews.csv", index=False)
    learn = Learner("text_bag", frame, verbose=False)
    expected = learn.predict(frame["text"]).labels
    assert learn.predict("reviews.csv").labels == learn.predict(tmp_path / "reviews.csv").labels == learn.predict(frame).labels == expected
    with pytest.raises(ArgumentError, match="nope.csv does not. Check the path"):
        learn.predict("nope.csv")
    flats = pd.DataFrame({"rooms": range(1, 41), "rent": range(40)})
    flats.to_csv("flats.csv", index=False)
    table = Learner("mlp", flats, target="rent", verbose=False)
    np.testing.assert_array_equal(table.predict("flats.csv").values, table.predict(flats).values)


@pytest.mark.parametrize("columns", ["user=reader,item=book", "{user: reader, item: book}"])
def test_names_of_columns_in_a_shell(columns, capsys):
    rng = np.random.default_rng(0)
    pd.DataFrame({"reader": rng.integers(0, 9, 99), "book": rng.integers(0, 9, 99), "rating": rng.integers(1, 6, 99)}).to_csv("r.csv", index=False)
    assert main(["fit", "two_tower", "r.csv", "--epochs", "1", "--columns", columns]) == 0
    assert "run folder runs/two_tower-r" in capsys.readouterr().out
