"""What the fields share: columns side by side, groups kept whole, adapters by library, predictions joined."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from torch import nn

from fastgpu import Learner, zoo
from fastgpu.data.columns import JoinedColumns, ListColumns, RaggedColumns, TensorColumns
from fastgpu.data.loaders import BatchLoader, Plan, like, split_steps
from fastgpu.data.raw import Items
from fastgpu.data.splits import split
from fastgpu.errors import ArgumentError, DataError
from fastgpu.inputs.image import ImageInput, frame_scale
from fastgpu.nn.adapters import adapt, of_library
from fastgpu.tasks.base import joined
from fastgpu.zoo.entry import FAMILIES


def ragged(*lengths, features=()):
    total = sum(lengths)
    values = torch.arange(total * int(np.prod(features, dtype=int))).reshape(total, *features).float() + 1
    return RaggedColumns(values, torch.tensor(lengths), key="values", pad=-1, mask="mask")


def test_ragged_columns_pad_features_to_the_longest_of_the_batch():
    batch = ragged(2, 1, 3, features=(2,)).gather(torch.tensor([1, 0]))
    assert batch["values"].tolist() == [[[5, 6], [-1, -1]], [[1, 2], [3, 4]]]
    assert batch["mask"].tolist() == [[True, False], [True, True]]
    unmasked = RaggedColumns(torch.arange(3), torch.tensor([1, 2]), key="labels", pad=-100, mask=None)
    assert unmasked.gather(torch.tensor([0, 1]))["labels"].tolist() == [[0, -100], [1, 2]]
    assert unmasked.gather(torch.tensor([0, 1])).keys() == {"labels"}


def test_long_ragged_columns_are_cut_in_slices_with_the_same_batch(monkeypatch):
    columns, index = ragged(2, 1, 3, features=(2,)), torch.tensor([1, 0, 2, 1])
    indexed = columns.gather(index)
    monkeypatch.setattr("fastgpu.data.columns.LONG", 2)
    sliced = columns.gather(index)
    assert all(torch.equal(indexed[key], sliced[key]) for key in indexed)
    monkeypatch.setattr(torch.Tensor, "clamp_", None)  # only the index for each step needs it
    columns.gather(index)


def test_columns_side_by_side():
    columns = JoinedColumns(TensorColumns({"a": torch.arange(3)}), ragged(2, 1, 3), ListColumns({"text": ["x", "y", "z"]}))
    assert len(columns) == 3
    assert columns.in_memory
    assert columns.lengths.tolist() == [2, 1, 3]
    batch = columns.gather(torch.tensor([2, 0]))
    assert batch["a"].tolist() == [2, 0]
    assert batch["text"] == ["z", "x"]
    assert batch["values"].shape == (2, 3)


def test_ragged_targets_are_not_batched_ahead():
    x, plan = TensorColumns({"a": torch.arange(8.0)}), Plan(items=8, batch_size=2)
    assert BatchLoader(x, TensorColumns({"b": torch.arange(8)}), plan, chunked=True).batches_per_chunk > 1
    assert BatchLoader(x, ragged(*range(1, 9)), plan, chunked=True).batches_per_chunk == 1


def test_steps_split_tensors_and_lists_alike():
    x, y = {"a": torch.arange(5)}, {"text": list("abcde")}
    steps = list(split_steps(x, y, [2, 3]))
    assert [(x["a"].tolist(), y["text"]) for x, y in steps] == [([0, 1], ["a", "b"]), ([2, 3, 4], ["c", "d", "e"])]
    moved = like({"f": torch.ones(2), "i": torch.ones(2, dtype=torch.int64), "text": ["a"]}, torch.empty(0, dtype=torch.float64))
    assert (moved["f"].dtype, moved["i"].dtype, moved["text"]) == (torch.float64, torch.int64, ["a"])


def test_predictions_of_batches_are_joined():
    parts = [{"a": torch.ones(2, 3), "t": ["x", "y"]}, {"a": torch.zeros(1, 3), "t": ["z"]}]
    assert joined(parts)["a"].shape == (3, 3)
    assert joined(parts)["t"] == ["x", "y", "z"]


@pytest.mark.parametrize("stratify", [True, False])
def test_groups_are_never_split(stratify):
    group = np.repeat([f"run {i}" for i in range(10)], 7)
    label = np.repeat(np.arange(10) % 2, 7)
    kept, held, notes = split(Items(np.arange(70), label, group), 0.3, 0, stratify)
    assert not set(kept.group) & set(held.group)
    assert len(kept) + len(held) == 70
    assert len(held) == 21
    assert "3 of 10 runs split off whole, 21 of 70 items" in notes[0]
    if stratify:
        assert set(held.y) == {0, 1}
    again = split(Items(np.arange(70), label, group), 0.3, 0, stratify)[1]
    assert again.x.tolist() == held.x.tolist()


def test_a_single_group_cannot_be_split():
    with pytest.raises(DataError, match="A split keeps each run whole, so it needs at least two. All 5 items belong to one"):
        split(Items(np.arange(5), np.arange(5), np.zeros(5)), 0.2)


def test_adapters_are_chosen_by_library():
    plain = adapt(nn.Linear(2, 3), ("a",))
    assert type(plain).__name__ == "Positional"
    assert plain({"a": torch.ones(1, 2), "b": torch.ones(1)})["logits"].shape == (1, 3)
    assert set(plain.state_dict()) == {"net.weight", "net.bias"}
    assert of_library(nn.Linear(1, 1), "torch.nn")
    assert not of_library(nn.Linear(1, 1), "torch.n")


def test_framed_pictures_are_whole_and_keep_their_scale():
    pictures = [np.full((40, 20, 3), 200, np.uint8), np.full((40, 20, 3), 100, np.uint8)]
    fitted = ImageInput.fit(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), size=(64, 64), frame="pad")
    assert fitted.size == (64, 64)
    batch = fitted.encode(fitted.as_items(np.stack(pictures))).gather(torch.tensor([0, 1]))
    assert batch["original_size"].tolist() == [[40, 20]] * 2
    assert frame_scale(batch["original_size"], fitted.size).tolist() == pytest.approx([1.6, 1.6])
    image = batch["image"]
    assert (image[0, :, :64, :32] == 200).all()
    assert (image[0, :, :, 32:] == 0).all()


def test_targets_in_the_picture_are_mirrored_with_it():
    fitted = ImageInput.fit(torch.randint(0, 255, (8, 3, 32, 32), dtype=torch.uint8), frame="pad")
    preparation = fitted.preparation()
    torch.manual_seed(0)
    image = torch.rand(64, 3, 32, 32)
    mask = (image[:, 0] > 0.5).long()
    boxes = torch.tensor([[[2.0, 4.0, 10.0, 12.0]]]).expand(64, 1, 4)
    x, y = preparation.augment({"image": image}, {"mask": mask, "boxes": boxes})
    assert torch.equal((x["image"][:, 0] > 0.5).long(), y["mask"])
    mirrored = (x["image"] != image).flatten(1).any(1)
    assert 0 < mirrored.sum() < 64
    assert y["boxes"][mirrored][0].tolist() == [[22.0, 4.0, 30.0, 12.0]]
    assert y["boxes"][~mirrored][0].tolist() == [[2.0, 4.0, 10.0, 12.0]]


def test_a_setting_of_another_kind_is_refused(out, digits):
    with pytest.raises(ArgumentError, match="tokenizer= goes with text data. These are image data for classification. Leave it out"):
        Learner("mlp", digits, tokenizer="t.json", out=out, report=False, verbose=False)
    with pytest.raises(ArgumentError, match="decode_every is a whole number of epochs, at least 1. 0 came"):
        Learner("mlp", digits, decode_every=0, out=out)


def test_an_architecture_is_refused_for_another_task(out, digits):
    with pytest.raises(ArgumentError, match="mlp is for classification or multilabel or regression, the task is detection"):
        Learner("mlp", digits, task="detection", out=out)


def test_recommend_is_for_ranking(make):
    with pytest.raises(ArgumentError, match="recommend ranks items for a user. The task is classification"):
        make().recommend(3)


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.answers is None])
def test_no_family_downloads_or_needs_an_extra_to_be_listed(family, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    names = FAMILIES[family].names()
    # Of the families over timm's networks not every pair goes together.
    name = next((f"{family}/{n}" for n in ("resnet18", "vit_tiny_patch16_224") if f"{family}/{n}" in names), names[0])
    entry = FAMILIES[family].entry(name)
    assert entry.name == name
    assert entry.source
    assert entry.licence
    info = zoo.model_info(name)
    assert info.parameters > 0
