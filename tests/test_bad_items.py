"""Bad items are named where they stand in what the user gave, whatever split they fell into."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fields.detection import coco
from fields.sensors import wave
from fields.text import reviews

from fastgpu import Learner
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.inputs.characters import CharacterInput
from fastgpu.results import Results


@pytest.mark.parametrize("row", [5, 37, 150])
def test_an_infinite_number_is_named_by_its_row(out, tmp_path, row):
    table = pd.DataFrame({"age": np.linspace(1, 90, 200), "price": np.arange(200.0)})
    table.loc[row, "age"] = np.inf
    table.to_csv(tmp_path / "flats.csv", index=False)
    with pytest.raises(DataError, match=rf"The column 'age' holds inf in row {row}\. Correct it"):
        Learner("mlp", tmp_path / "flats.csv", target="price", out=out, report=False, verbose=False)


def runs(steps=80, units=6):
    parts = [pd.DataFrame(wave(i, i % 2, steps), columns=["x", "y"]).assign(unit=i, time=np.arange(steps), label=i % 2) for i in range(units)]
    return pd.concat(parts, ignore_index=True)


def test_a_missing_label_of_a_series_is_named_by_its_run_and_row(out):
    frame = runs().astype({"label": object})
    frame.loc[frame.unit == 5, "label"] = None
    with pytest.raises(DataError, match=r"4 of \d+ in (train|val) have none: run .*5.*, row 419 \(from 0\); .* and 1 more"):
        Learner("lstm/small", frame, window=20, out=out, report=False, verbose=False)


def test_a_time_that_is_none_is_named_by_its_row(out):
    frame = runs()
    frame["time"] = pd.date_range("2024-01-01", periods=len(frame), freq="min").astype(str)
    frame.loc[7, "time"] = "noon-ish"
    with pytest.raises(DataError, match=r"The column 'time' holds dates\. 'noon-ish' came in row 7\. Correct it"):
        Learner("lstm/small", frame, window=20, out=out, report=False, verbose=False)


def test_sensors_that_are_all_dead_are_not_normal(out):
    learn = Learner("autoencoder", runs().drop(columns="label"), task="anomaly", window=16, out=out, report=False, verbose=False)
    learn.fit(1)
    with pytest.raises(BadItemError, match=r"A run must hold values\. .* has none: every sensor is empty"):
        learn.predict(np.full((32, 2), np.nan))


@pytest.mark.parametrize("given", ["", "   ", ["good", None], ["good", "  "], [float("nan")]])
def test_an_empty_text_is_not_predicted(out, given):
    learn = Learner("text_bag", reviews(), out=out, report=False, verbose=False)
    with pytest.raises(BadItemError, match=r"A text must hold a word\. 1 of \d hold none, first item \d"):
        learn.predict(given)


def test_an_endless_text_is_not_spoken():
    speaker = CharacterInput.fit(["ha ha", "aha"])
    assert len(speaker.as_items("ha" * 100)) == 1
    with pytest.raises(DataError, match=r"A text to speak has at most 200 characters here.* One of 3,000 came\. Part it"):
        speaker.as_items("h" * 3000)
    assert CharacterInput.fit(["ha" * 100]).longest == 800


class TestOutlines:
    def data(self, folder, outline):
        file = coco(folder, 12, outlines=True)
        content = json.loads(file.read_text())
        content["annotations"][3]["segmentation"] = [outline]
        file.write_text(json.dumps(content))
        return file

    def test_one_outside_is_refused_or_left_out(self, out, tmp_path):
        pytest.importorskip("segmentation_models_pytorch")
        file = self.data(tmp_path, [500, 500, 520, 500, 520, 520])
        with pytest.raises(DataError, match=r"An outline lies in its picture\. .*from \[500.* in a picture of 96 x 64"):
            Learner("unet/test_resnet", file, task="segmentation", out=out, report=False, verbose=False)
        learn = Learner("unet/test_resnet", file, task="segmentation", on_bad_item="skip", out=out, report=False, verbose=False)
        assert any("left out 1 outlines outside of their picture" in note for note in learn.data.notes)

    def test_one_over_the_edge_is_cut_and_counted(self, out, tmp_path):
        pytest.importorskip("segmentation_models_pytorch")
        file = self.data(tmp_path, [80, 40, 120, 40, 120, 60, 80, 60])
        learn = Learner("unet/test_resnet", file, task="segmentation", out=out, report=False, verbose=False)
        assert any("outlines cut at the edge of their picture: 1" in note for note in learn.data.notes)


def test_a_list_of_recordings_that_is_no_utf8_is_refused_with_its_line(out, tmp_path):
    pytest.importorskip("soundfile")
    (tmp_path / "metadata.csv").write_bytes(b"one|hello\ntwo|caf\xe9\n")
    with pytest.raises(DataError, match=r"must be UTF-8 text\. .*metadata.csv is not, at byte \d+, in line 2"):
        Learner("parakeet_ctc/tiny", tmp_path / "metadata.csv", out=out, report=False, verbose=False)


def test_a_column_that_results_lack_is_none_to_hasattr():
    results = Results({"boxes": [[1]]})
    assert not hasattr(results, "labels")
    assert not hasattr(results, "scores")
    with pytest.raises(ArgumentError, match=r"These results have no \.labels\. They have: boxes"):
        _ = results.labels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [], "annotations": []}', r"has no categories\. Add it"),
        ('{"images": [{"id": 1, "file_n', r"COCO annotations are JSON\. .* is not"),
    ],
)
def test_annotations_that_are_cut_off_say_so(out, tmp_path, content, message):
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Learner("fcos/resnet10t", tmp_path / "annotations.json", out=out, report=False, verbose=False)
