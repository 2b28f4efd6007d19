"""Classes of texts by the networks of transformers: forms of data, bad input, architectures, checkpoints of the user's own."""

import dataclasses
import gzip
import json
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from fields.text import reviews

pytest.importorskip("transformers")

from fastgpu import Learner, zoo
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, CheckpointError, DataError, UnknownNameError
from fastgpu.inputs.text import TextInput
from fastgpu.nn.adapters import adapt

FAMILIES = ("albert", "bert", "deberta_v2", "distilbert", "electra", "modernbert", "roberta")


# --- forms of data


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_files_with_text_and_label(tmp_path, name):
    path, frame = tmp_path / name, reviews()
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    elif name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    else:
        lines = "".join(json.dumps(row) + "\n" for row in frame.to_dict("records"))
        path.write_bytes(gzip.compress(lines.encode()) if name.endswith("gz") else lines.encode())
    raw = load(path, kinds=("text",))
    assert raw.kind == "text"
    assert raw.splits["train"].x.tolist() == frame["text"].tolist()
    assert raw.splits["train"].y.tolist() == frame["label"].tolist()


def folder_of_texts(folder, splits=("train", "val")):
    for split in splits:
        for label in ("good", "bad"):
            (folder / split / label).mkdir(parents=True)
            for i in range(4):
                (folder / split / label / f"{i}.txt").write_text(f"a {label} film, take {i}\n", encoding="utf-8")
    return folder


def test_folders_of_texts(tmp_path):
    raw = load(folder_of_texts(tmp_path / "with"))
    assert {split: len(items) for split, items in raw.splits.items()} == {"train": 8, "val": 8}
    assert (raw.kind, raw.classes) == ("text", ("bad", "good"))
    assert raw.splits["train"].x[0] == "a bad film, take 0"
    raw = load(folder_of_texts(tmp_path / "without", ("",)), kinds=("text",))
    assert len(raw.splits["train"]) == 8


# --- bad input


def test_empty_and_undecodable_texts_are_named(tmp_path):
    folder = folder_of_texts(tmp_path / "texts")
    (folder / "train" / "good" / "4.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"must have a text. .*good/4.txt is empty. Remove it"):
        load(folder)
    (folder / "train" / "bad" / "4.txt").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(DataError, match=r"Text must be UTF-8. .*bad/4.txt is not, at byte 7, in line 2"):
        load(folder)
    raw = load(folder, on_bad_item="skip")
    assert len(raw.splits["train"]) == 8
    assert raw.notes == ("2 texts left out, empty or not UTF-8: train/bad/4.txt, train/good/4.txt",)
    (folder / "val" / "gut").mkdir()
    (folder / "val" / "gut" / "0.txt").write_text("x")
    with pytest.raises(DataError, match="val of .* also has gut"):
        load(folder, on_bad_item="skip")
    with pytest.raises(ArgumentError, match="gives one class a text"):
        load(folder, task="regression")


def test_empty_texts_of_a_table_are_named():
    frame = reviews()
    frame.loc[[3, 9], "text"] = ["", "  "]
    with pytest.raises(DataError, match="Every row must have a text in column 'text' of train. 2 of 60 have none: rows 3, 9"):
        load(frame)
    raw = load(frame, on_bad_item="skip")
    assert len(raw.splits["train"]) == 58
    assert "2 rows of train left out, without target or text: rows 3, 9 (from 0)" in raw.notes


def test_files_that_are_not_utf8_or_json_say_where(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\na film,good\na caf\xe9,bad\n")
    with pytest.raises(DataError, match=r"A table must be UTF-8 text. .*a.csv is not, at byte 28, in line 3"):
        load(path)
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "label": 1}\n\n{"text": }\n')
    with pytest.raises(DataError, match="one JSON object. .*a.jsonl is not, in line 3"):
        load(path)
    path.write_text("[1]\n")
    with pytest.raises(DataError, match="has list in line 1"):
        load(path)
    path.write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(DataError, match="must be UTF-8. .*a.jsonl is not, at byte 10, in line 1"):
        load(path)


# --- the input


def test_special_tokens_stand_where_the_network_asks_for_them():
    text = TextInput.fit(np.array(["the film was good", "bad"], dtype=object))
    facts = text.facts()
    asked = text.declared({"first": facts["begin"], "last": facts["end"]})
    batch = asked.preparation()(text.encode(["the film was good", "bad"]).gather(torch.tensor([0, 1])))
    short = batch["input_ids"][1][batch["attention_mask"][1]].tolist()
    assert short[0] == facts["begin"]
    assert short[-1] == facts["end"]
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["input_ids"][1, len(short) :].eq(facts["pad"]).all()


def test_augmentation_hides_tokens_but_never_special_ones():
    texts = ["a gorgeous moving film about nothing at all", "dull"] * 200
    text = dataclasses.replace(TextInput.fit(np.array(texts, dtype=object)), first=2, last=3)
    preparation = text.preparation()
    plain = preparation(text.encode(texts).gather(torch.arange(400)))
    varied, _ = preparation.augment(plain, {})
    hidden = varied["input_ids"] != plain["input_ids"]
    words = plain["attention_mask"] & (plain["input_ids"] != 2) & (plain["input_ids"] != 3)
    assert 0.2 < hidden[words].float().mean() < 0.4
    assert not hidden[~words].any()
    assert (varied["input_ids"][hidden] == text.unknown).all()
    assert torch.equal(varied["attention_mask"], plain["attention_mask"])


def test_a_tokenizer_that_puts_special_tokens_itself_is_left_alone():
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(TextInput.fit(np.array(["a film", "a film"], dtype=object)).tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing("[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)])
    text = TextInput.fit(np.array(["a film"], dtype=object), tokenizer=tokenizer)
    assert text.encode(["a film"]).gather(torch.tensor([0]))["input_ids"][0, [0, -1]].tolist() == [2, 3]
    assert text.facts()["begin"] is None


# --- architectures

FACTS = {"kind": "text", "vocabulary": 60, "max_length": 12, "pad": 0, "begin": 2, "end": 3}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("no_network")
def test_every_family_learns_one_batch(family):
    torch.manual_seed(0)
    built = zoo.build(f"{family}/tiny", FACTS, 3)
    assert built.declares == {"first": 2, "last": 3}
    model = adapt(built.net, TextInput.keys).train()
    x = {"input_ids": torch.randint(4, 60, (6, 9)), "attention_mask": torch.arange(9) < torch.tensor([9, 9, 4, 9, 9, 1])[:, None]}
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.AdamW(built.net.parameters(), 1e-3)
    losses = []
    for _ in range(25):
        out = model(x, {"target": target})
        assert list(out) == ["logits"]
        loss = torch.nn.functional.cross_entropy(out["logits"], target)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():  # what fills up changes nothing
        model.eval()
        padded = {k: torch.nn.functional.pad(v, (0, 2)) for k, v in x.items()}
        torch.testing.assert_close(model(padded)["logits"], model(x)["logits"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_facts(family):
    info = [zoo.model_info(f"{family}/{size}") for size in ("tiny", "mini", "small", "base")]
    assert [each.parameters for each in info] == sorted(each.parameters for each in info)
    assert all(each.tasks == ("classification", "multilabel", "regression") and each.inputs == ("text",) for each in info)
    assert built_head(family)


def built_head(family):
    with torch.device("meta"):
        built = zoo.build(f"{family}/tiny", FACTS, 2)
    return dict(built.net.named_modules())[built.head[0]]


def test_sizes_are_those_of_the_papers():
    # Turc et al., 2019: BERT-tiny 4.4 M and BERT-base 110.1 M with 30,522 tokens; here 8,000 tokens, 258 positions.
    assert zoo.model_info("bert/base").parameters == pytest.approx(110.1e6 - (30522 - 8000 + 512 - 258) * 768, rel=0.01)
    assert zoo.model_info("bert/tiny").parameters == pytest.approx(4.4e6 - (30522 - 8000 + 512 - 258) * 128, rel=0.02)


@pytest.mark.parametrize(("task", "y"), [("regression", np.linspace(0, 1, 60)), ("multilabel", np.tile([[0, 1, 1], [1, 0, 1]], (30, 1)))])
def test_other_tasks(task, y, out):
    learn = Learner("distilbert/tiny", (reviews()["text"].tolist(), y), task=task, out=out, report=False, verbose=False)
    learn.fit(1)
    assert len(learn.predict(["a film", "an end"])) == 2


# --- checkpoints of the user's own


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with a BERT that was trained before, and its learner."""
    folder = tmp_path_factory.mktemp("checkpoint")
    learn = Learner("bert/tiny", reviews(), out=folder / "runs", report=False, verbose=False, lr=1e-3)
    learn.fit(4)
    learn.module.save_pretrained(folder / "bert")
    (folder / "bert" / "tokenizer.json").write_text(learn.data.input.tokenizer)
    return folder / "bert", learn


@pytest.mark.usefixtures("no_network")
def test_a_folder_with_a_checkpoint_is_an_architecture(checkpoint, out, tmp_path):
    folder, trained = checkpoint
    learn = Learner(str(folder), reviews(), out=out, report=False, verbose=False)
    assert learn.pretrained
    assert learn.data.input == trained.data.input
    assert learn.evaluate() == pytest.approx(trained.evaluate())
    assert zoo.model_info(str(folder)).parameters == sum(p.numel() for p in learn.module.parameters())
    learn.fine_tune(1)
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    assert loaded.predict(["a grim film"]).labels == learn.predict(["a grim film"]).labels == ["bad"]


def test_a_checkpoint_gets_a_new_head_for_other_classes(checkpoint, out):
    folder, _ = checkpoint
    frame = reviews()
    frame["label"] = np.arange(len(frame)) % 5
    learn = Learner(str(folder), frame, out=out, report=False, verbose=False)
    learn.fit(1)
    assert learn.module.num_labels == 5


def test_a_checkpoint_refuses_what_does_not_fit(checkpoint, out, tmp_path):
    folder, _ = checkpoint
    wide = TextInput.fit(np.array([f"word{i} other{i} third{i}" for i in range(400)] * 2, dtype=object)).tokenizer
    (tmp_path / "tokenizer.json").write_text(wide)
    with pytest.raises(ArgumentError, match=r"The tokenizer has to fit the checkpoint: it has [\d,]+ tokens, .* knows \d+"):
        Learner(str(folder), reviews(), tokenizer=tmp_path / "tokenizer.json", out=out, report=False, verbose=False)
    with pytest.raises(ArgumentError, match="tokenizer must be .* There is no file nothing.json"):
        Learner(str(folder), reviews(), tokenizer="nothing.json", out=out, report=False, verbose=False)
    with pytest.raises(UnknownNameError, match=r"Unknown architecture '\./nowhere'.* path leads to the folder of a checkpoint"):
        Learner("./nowhere", reviews(), out=out, report=False, verbose=False)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((folder / "config.json").read_text())
    (broken / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    (broken / "model.safetensors").write_bytes(b"nothing of use")
    with pytest.raises(CheckpointError, match=f"must be readable by transformers. {re.escape(str(broken))} is not"):
        Learner(str(broken), reviews(), out=out, report=False, verbose=False)
    assert not out.exists()


# --- the package


def run(code, folder):
    return subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"], capture_output=True, text=True)


def test_a_torchaudio_that_breaks_transformers_is_found(tmp_path):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')\n")
    code = """
from fastgpu import zoo
print(zoo.FAMILIES["bert"].names()[0])
zoo.build("bert/tiny", {"kind": "text", "vocabulary": 60, "max_length": 12, "pad": 0}, 2)
"""
    done = run(code, tmp_path)
    assert done.stdout.strip() == "bert/tiny"
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(r"MissingPackageError: .*OSError: libcudart.so.13.* Run: pip uninstall torchaudio$", last)


def test_without_transformers_the_names_are_there():
    code = """
sys.modules["transformers"] = None
from fastgpu import zoo
print(zoo.FAMILIES["bert"].names()[0], zoo.find("bert/tiny")[1].extra)
zoo.build("bert/tiny", {"kind": "text", "vocabulary": 60, "max_length": 12, "pad": 0}, 2)
"""
    done = run(code, ".")
    assert done.stdout.split()[1] == "text"
    assert "needs the package transformers, which is not installed. Run: pip install 'fastgpu[text]'" in done.stderr.splitlines()[-1]
