"""Files of tables: cells that are read as they stand, rows and files that must not be lost, settings that do nothing."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import torch
from spoken_tones import RATE, wave

from fastgpu.config import Settings
from fastgpu.data.raw import Raw
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, BadItemError, DataError, UnknownNameError
from fastgpu.inputs.interactions import InteractionInput
from fastgpu.reading.interactions_rows import as_ids
from fastgpu.reading.shell import texts_of
from fastgpu.reading.table_files import read_table

RANKING = {"kinds": ("interactions",)}
SERIES = {"kinds": ("series",), "window": 2}


def raw_of(data, **options) -> Raw:
    raw = load(data, **options)
    assert isinstance(raw, Raw)
    return raw


def files(folder, **contents):
    """Files by name, `__` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return folder


def runs(units, steps=4):
    frame = pd.DataFrame([(u, t, t + i) for i, u in enumerate(units) for t in range(steps)], columns=["unit", "time", "x"])
    return frame.assign(label=[i % 2 for i in range(len(units)) for _ in range(steps)])


@pytest.fixture
def recordings(tmp_path):
    sf = pytest.importorskip("soundfile")
    for i in range(4):
        sf.write(tmp_path / f"{i}.wav", np.asarray(wave("abcabc")), RATE)
    return tmp_path


# Cells as they stand


def test_transcripts_keep_zeros_and_words_for_nothing(recordings):
    (recordings / "list.csv").write_text("path,text\n0.wav,0123\n1.wav,0077\n2.wav,null\n3.wav,None\n")
    raw = raw_of(recordings / "list.csv", task="recognition")
    assert raw.splits["train"].y.tolist() == ["0123", "0077", "null", "none"]


def test_translations_keep_words_for_nothing(tmp_path):
    path = files(tmp_path, a__tsv="source\ttarget\nNone\tKeine\nN/A\tk. A.\nnull\tNull\n007\t7\n") / "a.tsv"
    train = raw_of(path, task="translation").splits["train"]
    assert train.x.tolist() == ["None", "N/A", "null", "007"]
    assert train.y.tolist() == ["Keine", "k. A.", "Null", "7"]
    path.write_text("source\ttarget\nyes\t\n")
    with pytest.raises(DataError, match="lacks one.*in row 0"):
        load(path, task="translation")


def test_numbers_of_rows_are_not_the_source(tmp_path):
    path = files(tmp_path, a__csv="id,english,german\n1,one,eins\n2,two,zwei\n") / "a.csv"
    assert raw_of(path, task="translation").splits["train"].x.tolist() == ["one", "two"]


def test_ids_keep_zeros_in_files_of_any_size(tmp_path):
    count = 100_000  # pandas guesses types piece by piece in files as large as this
    ids = [f"000{i % 50:07d}" for i in range(count - 1)] + ["000000000X"]
    columns = {"user": np.arange(count) % 3000, "isbn": ids, **{f"c{i}": np.zeros(count, int) for i in range(20)}}
    pd.DataFrame(columns).to_csv(tmp_path / "b.csv", index=False)
    assert set(raw_of(tmp_path / "b.csv", **RANKING).splits["train"].x.item) == set(ids)


def test_ids_that_say_nothing_to_pandas(tmp_path):
    path = files(tmp_path, r__csv="user,item,rating\nu1,NA,5\nnull,b,4\nu1,b,1\n") / "r.csv"
    train = raw_of(path, **RANKING).splits["train"].x
    assert (train.user.tolist(), train.item.tolist()) == (["u1", "null", "u1"], ["NA", "b", "b"])
    path.write_text("user,item\nu1,\n")
    with pytest.raises(DataError, match="'item' of train of r holds nan"):
        load(path, **RANKING)


def test_whole_numbers_are_the_same_id_however_they_were_written():
    assert as_ids(["1.0", None, "20.0"]).tolist() == ["1", None, "20"]
    assert as_ids(["1.0", "2.5"]).tolist() == ["1.0", "2.5"]
    assert as_ids(["01", "1"]).tolist() == ["01", "1"]


def test_a_shell_gives_them_as_training_did(tmp_path):
    path = files(tmp_path, a__csv="text\nnull\n0123\n") / "a.csv"
    assert texts_of([str(path)]) == ["null", "0123"]
    path.write_text("user,item\n007,NA\n7,b\n")
    input = InteractionInput.fit(raw_of(path, **RANKING).splits["train"].x)
    asked = input.from_shell([str(path)])[1]
    assert input.encode(asked).gather(torch.arange(2))["user"].tolist() == [1, 2]


def test_none_is_the_name_of_a_class_and_a_gap_among_numbers(tmp_path):
    path = files(tmp_path, a__csv="x,fault\n1,None\n2,leak\n3,None\n4,NA\n") / "a.csv"
    notes: list[str] = []
    column = read_table(path, notes, labels=lambda name: name == "fault")["fault"]
    assert column.isna().tolist() == [False, False, False, True]
    assert notes == ["column 'fault': 'None' taken as a name, not as missing"]
    path.write_text("x,fault\n1,None\n2,leak\n3,None\n")
    assert raw_of(path, task="anomaly", kinds=("table",)).splits["train"].y.tolist() == ["None", "leak", "None"]
    assert raw_of(path, target="fault").splits["train"].y.tolist() == ["None", "leak", "None"]
    path.write_text("x,label\n1,None\n2,0.5\n3,1.5\n")
    with pytest.raises(DataError, match="1 of 3 have none: row 0"):
        load(path)


def test_quotes_that_are_part_of_the_text(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('source\ttarget\na one\tA eins\n"b two\tB zwei\nc three\tC drei\nd four"\tD vier\n')
    raw = raw_of(path, task="translation")
    assert raw.splits["train"].x.tolist() == ["a one", '"b two', "c three", 'd four"']
    assert "t.tsv: quotes taken as part of the text" in raw.notes
    path.write_text('source\ttarget\n"so", he said\tja\nno\tnein\n')
    assert raw_of(path, task="translation").splits["train"].x.tolist() == ['"so", he said', "no"]
    texts = ['she said "no"', "tab\there", "two\nlines"]
    pd.DataFrame({"source": texts, "target": ["a", "b", "c"]}).to_csv(path, sep="\t", index=False)
    assert raw_of(path, task="translation").splits["train"].x.tolist() == texts


# Files that are cut off


def test_a_packed_file_that_is_cut_off(tmp_path):
    packed = gzip.compress(b"text,label\n" + b"".join(b"some words %d,%d\n" % (i * i, i % 2) for i in range(2000)))
    for name in ("a.csv.gz", "a.tsv.gz", "a.jsonl.gz"):
        for broken in (packed[: len(packed) // 2], packed[:40] + b"\x00" * 40 + packed[80:]):
            (tmp_path / name).write_bytes(broken)
            with pytest.raises(DataError, match=rf"{name} is not: .*(again|Mend the file)\.$"):
                load(tmp_path / name)


# Rows and files that would be lost


def test_an_odd_cell_among_the_names_of_splits(recordings):
    frame = pd.DataFrame({"a": range(6), "label": [0, 1] * 3, "split": ["train"] * 3 + ["val", "holdout", None]})
    with pytest.raises(DataError, match=r"The table has 'holdout' \(rows 4, 5, from 0\)"):
        load(frame)
    raw = raw_of(frame.assign(split=["banana", "train", "bowling", "x", "y", "z"]))
    assert (list(raw.splits), list(raw.splits["train"].x.columns)) == (["train"], ["a", "split"])
    (recordings / "list.csv").write_text("path,text,split\n0.wav,a,train\n1.wav,b,holdout\n2.wav,c,val\n3.wav,d,eval\n")
    with pytest.raises(DataError, match=r"list.csv has 'holdout' \(rows 3, 5, from 2\)"):
        load(recordings / "list.csv", task="recognition")


@pytest.mark.parametrize(
    ("names", "content", "options"),
    [
        (("train.csv", "train.2.csv"), "a,label\n1,0\n2,1\n", {}),
        (("train.csv", "train.2.csv"), "a,label\n1,0\n2,1\n", {"task": "anomaly", "kinds": ("table",)}),
        (("train.csv", "train.2.csv"), "unit,time,x,label\n1,0,1,0\n1,1,2,0\n", SERIES),
        (("train.tsv", "train.2.tsv"), "source\ttarget\na\tb\n", {"task": "translation"}),
        (("train-a.jsonl", "train-b.jsonl"), json.dumps({"audio_filepath": "0.wav", "text": "abc"}), {"task": "recognition"}),
        (("train.csv", "train.parquet"), "user,item\n1,2\n", RANKING),
        (("val.csv", "valid.csv", "train.csv"), "user,item\n1,2\n", RANKING),
        (("users.csv", "users.tsv", "train.csv"), "user,item\n1,2\n", RANKING),
    ],
)
def test_two_files_of_one_split(tmp_path, names, content, options):
    for name in names:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="A split or table is one file. .* holds both"):
        load(tmp_path, **options)


def test_steps_without_a_unit():
    frame = runs("abc").astype({"unit": object})
    frame.loc[frame.unit == "b", "unit"] = None
    with pytest.raises(DataError, match="Every row must have a unit. .* has none in 'unit', row 4"):
        load(frame, **SERIES)


def test_units_of_train_in_another_split():
    frame = pd.concat([runs("ab").assign(split="train"), runs("a").assign(split="val"), runs("c").assign(split="test")])
    assert any(note.startswith("1 unit in train and in val, for example a") for note in raw_of(frame, **SERIES).notes)


def test_a_run_without_the_label(tmp_path):
    folder = files(tmp_path / "runs", a__csv="time,x,label\n0,1,0\n1,2,1\n", b__csv="time,x\n0,1\n1,2\n")
    with pytest.raises(BadItemError, match="All runs must have the same targets. b.csv lacks 'label'"):
        load(folder, **SERIES)
    raw = raw_of(folder, on_bad_item="skip", **SERIES)
    assert len(raw.splits["train"]) == 1
    assert any("left out (all runs must have the same targets): b.csv" in note for note in raw.notes)


def test_sensors_that_are_named_by_numbers():
    raw = raw_of(pd.DataFrame(np.random.default_rng(0).random((8, 3))), target=2, **SERIES)
    assert raw.splits["train"].x.layout.channels == ("0", "1")


def test_a_split_of_interactions_without_ratings(tmp_path):
    folder = files(tmp_path / "r", train__csv="user,item,rating\n1,2,5\n2,2,1\n", test__csv="user,item\n1,3\n")
    raw = raw_of(folder, **RANKING)
    assert list(raw.splits) == ["train"]
    assert "test left out: it has no column 'rating'" in raw.notes
    files(folder, test__csv="customer,item,rating\n1,3,2\n")
    with pytest.raises(DataError, match="test of r lacks user"):
        load(folder, **RANKING)


def test_columns_of_lists_beside_interactions(tmp_path):
    rows = [{"user": f"u{i % 3}", "item": f"p{i % 4}", "helpful": [0, i], "more": {"a": 1}, "brand": f"b{i % 4}"} for i in range(12)]
    path = files(tmp_path, r__jsonl="\n".join(map(json.dumps, rows))) / "r.jsonl"
    raw = raw_of(path, **RANKING)
    assert list(raw.splits["train"].x.items.columns) == ["brand"]
    assert any(note.endswith("neither to a user nor to an item: helpful, more") for note in raw.notes)


def test_aligned_files_that_lack_one_or_are_of_three_languages(tmp_path):
    folder = files(tmp_path / "al", train__en="one\ntwo\n", train__de="eins\nzwei\n", test__en="three\n")
    assert "test left out: it has no file in de" in raw_of(folder, task="translation").notes
    files(folder, train__fr="un\ndeux\n")
    with pytest.raises(DataError, match="There are 3 languages, de, en, fr. Say which with columns="):
        load(folder, task="translation")
    raw = raw_of(folder, task="translation", columns={"source": "en", "target": "fr"})
    assert raw.splits["train"].y.tolist() == ["un", "deux"]
    with pytest.raises(DataError, match="'en' came for both"):
        load(folder, task="translation", columns={"source": "en", "target": "en"})


def test_empty_texts_in_arrays():
    with pytest.raises(DataError, match="2 of 4 in x have none: rows 0, 2"):
        load((["", "a good film", "  ", "a bad film"], [0, 1, 0, 1]))


# Settings that would do nothing


def test_roles_that_there_are_not(recordings):
    with pytest.raises(UnknownNameError, match="role in columns 'sorce'. Did you mean 'source'"):
        load(pd.DataFrame({"a": ["x"], "b": ["y"]}), task="translation", columns={"sorce": "a"})
    (recordings / "list.csv").write_text("path,text\n0.wav,a\n")
    with pytest.raises(UnknownNameError, match="role in columns 'pth'. Did you mean 'path'"):
        load(recordings / "list.csv", task="recognition", columns={"pth": "path"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"columns": {"unit": "a"}}, "columns= says how some sorts of data are read"),
        ({"window": 5}, "window= says how some sorts of data are read. 5 came with the name of a sample"),
        ({"stride": 5}, "stride= goes from one window to the next. 5 came without window="),
    ],
)
def test_settings_that_do_nothing_here(options, says):
    with pytest.raises(ArgumentError, match=says):
        load("digits", **options)


def test_columns_that_are_named_by_numbers():
    train = raw_of(pd.DataFrame([["a", "b"], ["c", "d"]]), task="translation", columns={"source": 1, "target": 0}).splits["train"]
    assert train.x.tolist() == ["b", "d"]
    with pytest.raises(DataError, match="'5' came"):
        load(pd.DataFrame({"a": [1.0, 2], "label": [1, 2]}), kinds=("series",), columns={"unit": 5})


def test_positive_is_a_number():
    with pytest.raises(ArgumentError, match="positive is None or the number from which on a rating is a like. '4' came"):
        Settings(positive="4")  # type: ignore[arg-type]
