"""Translation: forms of data, bad input, architectures, sentences."""

import gettext
import json
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from fields.translation import phrases

pytest.importorskip("transformers")

from fastgpu import Learner, zoo
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError
from fastgpu.inputs.text import TextInput
from fastgpu.nn.adapters import adapt
from fastgpu.tasks.translation import Translation

PAIRS = phrases()
SOURCE, TARGET = [a for a, _ in PAIRS], [b for _, b in PAIRS]
FACTS = {"kind": "text", "vocabulary": 60, "max_length": 12, "pad": 0, "begin": 2, "end": 3}
GOAL = {"task": "translation", "outputs": 60, "end": 3, "length": 9}


def same(raw, source=SOURCE, target=TARGET):
    assert (raw.kind, raw.task) == ("text", "translation")
    assert raw.splits["train"].x.tolist() == source
    assert raw.splits["train"].y.tolist() == target


# --- forms of data


@pytest.mark.parametrize("header", [("source", "target"), ("en", "de"), ("English text", "target"), None])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tables(tmp_path, header, suffix):
    path = tmp_path / f"pairs{suffix}"
    pd.DataFrame(PAIRS, columns=header).to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False, header=header is not None)
    raw = load(path, task="translation")
    same(raw)
    assert ("first row taken for a pair" in "".join(raw.notes)) == (header is None)


def test_columns_by_name(tmp_path):
    frame = pd.DataFrame({"id": range(64), "german": TARGET, "english": SOURCE})
    same(load(frame, task="translation", columns={"source": "english", "target": "german"}))
    same(load(frame, task="translation", target="german", columns={"source": "english"}))
    same(load(frame, task="translation"), TARGET, SOURCE)  # the first two columns of texts
    with pytest.raises(DataError, match="'germn' came; the columns are id, german, english. Did you mean 'german'"):
        load(frame, task="translation", columns={"target": "germn"})
    with pytest.raises(DataError, match="has a column of texts and one of translations. the DataFrame has id, english"):
        load(frame[["id", "english"]], task="translation")


@pytest.mark.parametrize("folded", [True, False])
def test_json_lines(tmp_path, folded):
    path = tmp_path / "pairs.jsonl"
    rows = [{"translation": {"en": a, "de": b}} if folded else {"source": a, "target": b} for a, b in PAIRS]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    same(load(path, task="translation"))


def aligned(folder, split="train"):
    for language, texts in (("en", SOURCE), ("de", TARGET)):
        (folder / f"{split}.{language}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder / f"{split}.en", folder / f"{split}.de"


def test_aligned_files(tmp_path):
    same(load(aligned(tmp_path), task="translation"))
    same(load(aligned(tmp_path), kinds=("text",)))
    aligned(tmp_path, "dev")
    raw = load(tmp_path, task="translation")
    same(raw, TARGET, SOURCE)  # by the alphabet, and said
    assert "translation from de into en" in raw.notes[0]
    assert len(raw.splits["val"]) == 64
    same(load(tmp_path, task="translation", columns={"source": "en"}))
    with pytest.raises(DataError, match="'fr' came; there are de and en"):
        load(tmp_path, task="translation", columns={"source": "fr"})


PO = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=2; plural=n != 1;\\n"

msgid "unused variable"
msgstr "unbenutzte Variable"

#, fuzzy
msgid "guessed"
msgstr "geraten"

msgid "not yet"
msgstr ""

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"
"""


@pytest.mark.parametrize("suffix", [".po", ".mo"])
def test_catalogues(tmp_path, suffix):
    mofile, pofile = (pytest.importorskip(f"babel.messages.{name}") for name in ("mofile", "pofile"))
    path = tmp_path / f"de{suffix}"
    (tmp_path / "de.po").write_text(PO, encoding="utf-8")
    if suffix == ".mo":
        with (tmp_path / "de.po").open("rb") as given, path.open("wb") as file:
            mofile.write_mo(file, pofile.read_po(given))
        with path.open("rb") as file:  # as the standard library reads it
            assert gettext.GNUTranslations(file).gettext("unused variable") == "unbenutzte Variable"
    raw = load(path)
    expected = {"unused variable": "unbenutzte Variable", "%d file": "%d Datei", "%d files": "%d Dateien"}
    assert (raw.kind, raw.task) == ("text", "translation")
    assert dict(zip(raw.splits["train"].x, raw.splits["train"].y)) == expected
    assert "".join(raw.notes) == ("2 messages of de.po without a translation left out" if suffix == ".po" else "")
    path.write_bytes(b"\xde\x12\x04\x95 no catalogue" if suffix == ".mo" else b'msgid ""\nmsgstr "charset=klingon\\n"\n\xff')
    with pytest.raises(DataError, match=f"de{suffix}"):
        load(path)


# --- bad input


def test_unequal_files_say_both_counts(tmp_path):
    source, target = aligned(tmp_path)
    target.write_text("\n".join(TARGET[:-3]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"same number of lines. .*train.en has 64, .*train.de has 61"):
        load((source, target), task="translation", on_bad_item="skip")


def test_bad_lines_are_named_or_left_out(tmp_path):
    source, target = aligned(tmp_path)
    lines = target.read_bytes().split(b"\n")
    lines[4], lines[9] = b"", b"sch\xf6n"
    target.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="train.en with train.de lacks one, or has one that is not UTF-8, in lines 5, 10"):
        load((source, target), task="translation")
    raw = load((source, target), task="translation", on_bad_item="skip")
    assert len(raw.splits["train"]) == 62
    assert raw.notes == ("2 pairs of train.en with train.de left out, empty or not UTF-8: lines 5, 10",)


def test_empty_cells_are_named_or_left_out():
    frame = pd.DataFrame(PAIRS, columns=["source", "target"])
    frame.loc[2, "target"], frame.loc[7, "source"] = "  ", None
    with pytest.raises(DataError, match="the DataFrame lacks one.* in rows 2, 7"):
        load(frame, task="translation")
    assert len(load(frame, task="translation", on_bad_item="skip").splits["train"]) == 62
    with pytest.raises(DataError, match="must have pairs of texts. the DataFrame has none"):
        load(frame.assign(target=""), task="translation", on_bad_item="skip")


def test_a_tokenizer_that_cannot_end_a_sentence_is_refused(out):
    from tokenizers import Tokenizer, models

    bare = Tokenizer(models.WordLevel({"[UNK]": 0, "house": 1}, unk_token="[UNK]"))
    with pytest.raises(ArgumentError, match=r"needs a token that ends a sentence: \[EOS\], \[SEP\], </s>"):
        Learner("marian/tiny", (SOURCE, TARGET), tokenizer=bare, out=out, report=False, verbose=False)


def test_other_items_and_networks_are_refused(out):
    with pytest.raises(ArgumentError, match="bert/tiny is for classification or multilabel or regression, the task is translation. For it: bart"):
        Learner("bert/tiny", (SOURCE, TARGET), task="translation", out=out, report=False, verbose=False)
    with pytest.raises(ArgumentError, match="task='translation' takes text data. arrays holds table data"):
        Learner(torch.nn.Linear(2, 2), (np.zeros((8, 2)), np.array(["a"] * 8)), task="translation", out=out, report=False, verbose=False)
    with pytest.raises(UnknownNameError, match="Unknown metric of translation 'accuracy'"):
        Learner("marian/tiny", (SOURCE, TARGET), metrics="accuracy", out=out, report=False, verbose=False)
    net = zoo.build("text_bag", {**FACTS, "vocabulary": 2000}, 3).net
    with pytest.raises(ModelError, match="gives its own loss. This one gives logits"):
        Learner(net, (SOURCE, TARGET), task="translation", out=out, report=False, verbose=False).fit(1)


# --- the task


def test_both_sides_share_a_tokenizer_and_the_case():
    options = Translation.input_options(np.array(TARGET, dtype=object))
    text = TextInput.fit(np.array(SOURCE, dtype=object), **options)
    task = Translation.fit(np.array(TARGET, dtype=object), input=text)
    y = task.encode(np.array(TARGET[:3], dtype=object)).gather(torch.arange(3))
    assert y["text"] == TARGET[:3]
    assert y["labels"].shape[1] <= task.max_length
    assert all(row[row >= 0][-1] == task.end for row in y["labels"])
    tokens = torch.cat([torch.zeros(3, 1, dtype=torch.long), y["labels"].clamp(min=0)], 1)
    assert task.decode({"tokens": tokens})["texts"] == TARGET[:3]
    with pytest.raises(DataError, match=r"Every text needs a translation.*'' came \(1 such: row 1\)"):
        task.encode(np.array(["x", ""], dtype=object))


def test_metrics_of_the_truth_are_whole():
    task = Translation(tokenizer="", vocabulary=9, end=3, max_length=9)
    for name in task.metric_names:
        metric = task.metric(name)
        task.update({name: metric}, {"texts": TARGET}, {"text": TARGET})
        assert metric.compute().item() == pytest.approx(1.0)
        assert metric.higher_is_better


@pytest.mark.parametrize("family", ["bart", "marian", "t5"])
def test_every_family_learns_one_batch(family, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    torch.manual_seed(0)
    built = zoo.build(f"{family}/tiny", FACTS, GOAL)
    assert dict(built.net.named_modules())[built.head[0]]
    model = adapt(built.net, TextInput.keys).train()
    x = {"input_ids": torch.randint(4, 60, (4, 9)), "attention_mask": torch.arange(9) < torch.tensor([9, 5, 9, 1])[:, None]}
    y = {"labels": torch.cat([torch.randint(4, 60, (4, 6)), torch.full((4, 1), 3)], 1), "text": ["a", "b", "c", "d"]}
    optimizer = torch.optim.AdamW(built.net.parameters(), 2e-3)
    losses = []
    for _ in range(25):
        out = model(x, y)
        assert set(out) == {"logits", "loss"}
        losses.append(out["loss"].item())
        out["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] / 2
    model.eval()
    assert model(x)["logits"].shape == (4, 1, 60)
    assert model.generate(x, most=9).shape[1] <= 10
    info = zoo.model_info(f"{family}/small")
    assert info.tasks == ("translation",)
    assert info.parameters < zoo.model_info(f"{family}/base").parameters


def test_a_checkpoint_translates_on(out, tmp_path):
    trained = Learner("marian/tiny", (SOURCE, TARGET), out=out, report=False, verbose=False)
    trained.fit(1)
    trained.module.save_pretrained(tmp_path / "marian")
    (tmp_path / "marian" / "tokenizer.json").write_text(trained.data.input.tokenizer)
    learn = Learner(str(tmp_path / "marian"), (SOURCE, TARGET), out=out, report=False, verbose=False)
    assert learn.data.task == trained.data.task
    assert learn.predict(SOURCE[:3]).texts == trained.predict(SOURCE[:3]).texts
    assert learn.evaluate() == pytest.approx(trained.evaluate(), abs=1e-5)
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    assert loaded.predict(SOURCE[:3]).texts == learn.predict(SOURCE[:3]).texts


@pytest.mark.slow
def test_128_pairs_are_memorised(out):
    """Proves loss, generation, decoding and metric; of generalisation it says nothing."""
    twice = [*PAIRS, *((f"Perhaps {a[0].lower()}{a[1:]}", f"Vielleicht: {b}") for a, b in PAIRS)]
    data = ([a for a, _ in twice], [b for _, b in twice])
    learn = Learner("marian/tiny", data, validation_split=None, batch_size=8, lr=1e-3, out=out, report=False, verbose=False, decode_every=60)
    learn.fit(60, schedule="one_cycle")
    assert learn.evaluate()["bleu"] >= 0.97
    assert learn.predict("The dog was not blue.").texts == ["Hund war nicht blau."]


def test_a_loader_of_tensors_is_answered():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(8, 3), torch.arange(8)), batch_size=4)
    with pytest.raises(ArgumentError, match="Translation is learnt from pairs of texts. Tensors of a loader came. Give a CSV"):
        Learner(torch.nn.Linear(3, 4), loader, task="translation", report=False, verbose=False)
