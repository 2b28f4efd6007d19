"""Text and tables: raw items to batches, and back to something that people can read."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from fastgpu.assemble import open_data
from fastgpu.config import Settings
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.figures import Figure
from fastgpu.inputs import Input
from fastgpu.inputs.table import TableInput
from fastgpu.inputs.text import TextInput

WORDS = ["good", "bad", "film", "story", "the", "a", "Music", "was", "played", "slowly"]
TEXTS = np.array([" ".join(np.roll(WORDS, i)[: 3 + i % 6]) + "." for i in range(60)], dtype=object)


def batch_of(fitted: Input, items: object) -> dict[str, torch.Tensor]:
    columns = fitted.encode(fitted.as_items(items))
    return columns.gather(torch.arange(len(columns)))


def prepared(fitted: Input, items: object) -> dict[str, torch.Tensor]:
    return fitted.preparation()(batch_of(fitted, items))


def again(fitted: Input) -> Input:
    return Input.from_dict(json.loads(json.dumps(fitted.to_dict())))


# --- text


@pytest.fixture(scope="module")
def text() -> TextInput:
    return TextInput.fit(TEXTS)


def test_text_survives_json(text: TextInput) -> None:
    assert again(text) == text


def test_texts_become_padded_tokens(text: TextInput) -> None:
    batch = batch_of(text, ["the story", "the film was bad."])
    assert batch["attention_mask"].sum(1).tolist() == [2, 5]
    assert batch["input_ids"][0, 2:].tolist() == [text.pad] * 3
    assert batch["input_ids"].max() < text.facts()["vocabulary"]
    assert (batch["input_ids"][batch["attention_mask"]] != text.unknown).all()


def test_capitals_and_composition_do_not_matter(text: TextInput) -> None:
    assert torch.equal(batch_of(text, "MUSIC was played")["input_ids"], batch_of(text, "music was played")["input_ids"])


def test_texts_without_tokens_get_one(text: TextInput) -> None:
    items = np.array(["", None, float("nan"), "good"], dtype=object)  # of a table with gaps, say; predict refuses the first three
    batch = text.encode(items).gather(torch.arange(4))
    assert batch["attention_mask"].tolist() == [[True]] * 4
    assert batch["input_ids"][:3, 0].tolist() == [text.unknown] * 3


def test_long_texts_are_cut() -> None:
    text = TextInput.fit(np.array(["word " * 2000, "word"], dtype=object))
    assert text.max_length <= 256
    assert batch_of(text, "word " * 2000)["input_ids"].shape == (1, text.max_length)


@pytest.mark.parametrize(
    "given",
    ["good film", ["good film"], pd.Series(["good film"]), pd.DataFrame({"t": ["good film"]}), np.array(["good film"])],
)
def test_one_text_in_any_form(text: TextInput, given: object) -> None:
    assert batch_of(text, given)["input_ids"].shape == (1, 2)


def test_what_is_no_text_is_named(text: TextInput) -> None:
    with pytest.raises(BadItemError, match=r"Texts must be strings. 1 of 2 are none, first item 1: int '7'") as caught:
        text.encode(["good", 7])
    assert caught.value.indices == [1]
    with pytest.raises(DataError, match="Texts must be a string or a list of strings. int '7' came"):
        text.as_items(7)
    with pytest.raises(DataError, match="Texts must hold words"):
        TextInput.fit(np.array(["", " "], dtype=object))


def test_given_tokenizer(text: TextInput, tmp_path) -> None:
    from tokenizers import Tokenizer

    path = tmp_path / "tokenizer.json"
    path.write_text(text.tokenizer)
    given = TextInput.fit(TEXTS, tokenizer=path)
    assert given == text == TextInput.fit(TEXTS, tokenizer=Tokenizer.from_str(text.tokenizer))
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(ArgumentError, match="is not a tokenizer.json"):
        TextInput.fit(TEXTS, tokenizer=tmp_path / "broken.json")
    with pytest.raises(ArgumentError, match="There is no file"):
        TextInput.fit(TEXTS, tokenizer=tmp_path / "absent.json")


@pytest.mark.slow
def test_training_a_tokenizer_gives_the_same_in_another_process(text: TextInput) -> None:
    # The trainers for WordPiece, and for BPE with marked word parts, do not.
    code = (
        "import sys, json, numpy as np; from fastgpu.inputs.text import TextInput;"
        "print(TextInput.fit(np.array(json.load(sys.stdin), dtype=object)).tokenizer)"
    )
    given = json.dumps(list(TEXTS))
    other = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == text.tokenizer


def test_text_is_drawn_as_the_network_sees_it(text: TextInput) -> None:
    axes = Figure().add_subplot()
    text.draw(axes, text.encode(["the GOOD film cost $5"]), 0)
    assert axes.texts[0].get_text().startswith("the good film")
    axes.figure.canvas.draw()


# --- tables


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [20.0, 30.0, np.nan, 50.0],
            "rooms": [1, 2, 3, 4],
            "city": ["Ulm", "Bonn", None, "Ulm"],
            "garden": [True, False, True, True],
            "sold": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-05", "2020-01-07"]),
        }
    )


def test_table_survives_json(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    assert again(table) == table


def test_columns_are_recognised(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    assert table.numbers == ("age", "rooms", "sold")
    assert table.categories == ("city", "garden")
    assert table.levels == (("Bonn", "Ulm"), ("False", "True"))
    assert table.facts() == {"kind": "table", "numbers": 4, "cardinalities": (3, 3)}
    assert "1 with gaps" in table.describe()


def test_numbers_are_standardised_and_gaps_marked(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    numbers = prepared(table, frame)["numbers"]
    assert numbers.dtype == torch.float32
    assert torch.allclose(numbers[:, :3].mean(0), torch.zeros(3), atol=1e-6)
    assert torch.allclose(numbers[:, :3].std(0, correction=0), torch.ones(3), atol=1e-6)
    assert numbers[:, 3].tolist() == [0, 0, 1, 0]
    # The median of the known ages, 30, stands for the missing one.
    assert numbers[2, 0] == numbers[1, 0]


def test_seconds_keep_their_digits() -> None:
    times = pd.DataFrame({"at": pd.date_range("2026-01-01", periods=5, freq="s")})
    numbers = prepared(TableInput.fit(times), times)["numbers"][:, 0]
    assert torch.allclose(numbers.diff(), torch.full((4,), 2**-0.5), atol=1e-4)


def test_categories_are_codes_and_unseen_ones_0(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    assert batch_of(table, frame)["categories"].tolist() == [[2, 2], [1, 1], [0, 2], [2, 2]]
    row = {"age": 1, "rooms": 1, "city": "Köln", "garden": None, "sold": "2020-01-02", "more": 3}
    assert batch_of(table, row)["categories"].tolist() == [[0, 0]]
    assert table.encode(frame).notes == ()
    held = frame.assign(city=["Köln", "Jena", None, "Ulm"])
    (note,) = table.encode(held).notes
    assert note == "2 of 4 rows have a value in 'city' that was not learnt ('Köln', 'Jena'), taken as missing"
    rows = pd.concat([frame.assign(split="train"), held.assign(split="val")]).assign(label=[0, 1] * 4)
    data, _ = open_data(rows, Settings())
    assert f"val: {note}" in data.notes


def test_whole_number_categories_are_alike_as_floats() -> None:
    table = TableInput.fit(pd.DataFrame({"zone": pd.Categorical([1, 2, 1])}))
    assert batch_of(table, pd.DataFrame({"zone": [2.0, np.nan]}))["categories"].tolist() == [[2], [0]]


def test_only_the_most_frequent_values_get_codes() -> None:
    names = [f"id{i}" for i in range(1500)] + ["id1499"]
    table = TableInput.fit(pd.DataFrame({"name": names, "n": range(1501)}))
    assert table.facts()["cardinalities"] == (1001,)
    assert "id1499" in table.levels[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_arrays(dtype: type) -> None:
    rows = np.arange(12).reshape(4, 3).astype(dtype)
    table = TableInput.fit(rows)
    assert set(batch_of(table, rows)) == {"numbers"}
    assert prepared(table, rows)["numbers"].std(0, correction=0).tolist() == pytest.approx([1, 1, 1])
    assert prepared(table, rows[0])["numbers"].shape == (1, 3)
    assert prepared(table, rows[0].tolist())["numbers"].shape == (1, 3)


def test_float64_stays_where_the_network_is_float64() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    table = TableInput.fit(rows)
    scaled = table.preparation().double()(batch_of(table, rows))["numbers"]
    assert scaled.dtype == torch.float64
    assert torch.allclose(scaled.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-7)


def test_a_gap_that_training_did_not_have_becomes_the_median() -> None:
    table = TableInput.fit(np.array([[0.0], [1.0], [5.0]]))
    assert table.facts()["numbers"] == 1
    assert batch_of(table, np.array([[np.nan]]))["numbers"].item() == 1.0


def test_constant_columns_and_outliers_do_no_harm() -> None:
    table = TableInput.fit(np.array([[3.0, 0.1], [3.0, 0.2], [3.0, 0.3]]))
    numbers = prepared(table, np.array([[3.5, 1e9]]))["numbers"]
    assert numbers[0].tolist() == pytest.approx([0.5, 8.0])


def test_many_rows_in_any_form(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame[["age", "city"]])
    rows = [{"age": 20.0, "city": "Ulm"}, {"age": 30.0, "city": "Bonn"}]
    want = batch_of(table, rows)
    for given in (pd.DataFrame(rows), {"age": [20.0, 30.0], "city": ["Ulm", "Bonn"]}, [[20.0, "Ulm"], [30.0, "Bonn"]]):
        got = batch_of(table, given)
        assert all(torch.equal(got[k], want[k]) for k in want)
    assert torch.equal(batch_of(table, frame.iloc[0])["categories"], want["categories"][:1])
    series = {"age": pd.Series([20.0, 30.0]), "city": pd.Series(["Ulm", "Bonn"])}
    assert torch.equal(batch_of(table, series)["categories"], want["categories"])
    assert batch_of(table, {"age": 20.0, "city": ["Ulm", "Bonn"]})["categories"].tolist() == [[2], [1]]
    with pytest.raises(DataError, match="The columns of a table have one length"):
        table.as_items({"age": [20.0], "city": ["Ulm", "Bonn"]})


def test_wrong_tables_are_named(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    with pytest.raises(DataError, match="'rooms' is missing. Is it 'room'"):
        table.as_items(frame.rename(columns={"rooms": "room"}))
    with pytest.raises(DataError, match="The column 'rooms' holds numbers. 'many' came in row 1"):
        table.encode(frame.assign(rooms=[1, "many", 3, 4]))
    with pytest.raises(DataError, match="The column 'age' holds inf in row 2"):
        table.encode(frame.assign(age=[1.0, 2.0, np.inf, 4.0]))
    with pytest.raises(DataError, match="The column '1' holds -inf in row 0"):
        TableInput.fit(np.array([[0.0, -np.inf]]))
    with pytest.raises(DataError, match="A row has 5 values here"):
        table.as_items([1.0, 2.0])
    with pytest.raises(DataError, match="needs rows and columns"):
        TableInput.fit(np.empty((0, 3)))
    with pytest.raises(DataError, match="'a' came twice"):
        TableInput.fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="The column 'sold' holds dates"):
        table.encode(frame.assign(sold=["soon"] * 4))


def test_a_row_is_drawn(frame: pd.DataFrame) -> None:
    table = TableInput.fit(frame)
    axes = Figure().add_subplot()
    table.draw(axes, table.encode(frame), 2)
    lines = [line.split() for line in axes.texts[0].get_text().splitlines()]
    assert lines[:3] == [["age", "nan"], ["rooms", "3"], ["city", "?"]]
