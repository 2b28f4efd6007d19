"""The order of an epoch, and batches by index."""

from __future__ import annotations

import threading

import pytest
import torch

from fastgpu.data.columns import LazyColumns, RaggedColumns, TensorColumns
from fastgpu.data.instance_masks import InstanceMasks
from fastgpu.data.loaders import BatchLoader, Plan

SIZES = [1, 2, 7, 64, 65, 66, 129, 1000]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("items", SIZES)
def test_each_item_comes_once_and_processes_take_as_many_steps(items, shuffle, world):
    if items < world:
        pytest.skip("fewer items than processes")
    plans = [Plan(items=items, batch_size=32, shuffle=shuffle, rank=rank, world=world) for rank in range(world)]
    shares = [plan.batches(3) for plan in plans]
    assert len({len(share) for share in shares}) == 1
    assert len(plans[0]) == len(shares[0])
    seen = torch.cat([batch for share in shares for batch in share])
    assert sorted(seen.tolist()) == list(range(items))
    for number in range(len(plans[0])):
        weights = [plan.weight(number) * 1 for plan in plans]
        assert sum(weights) == pytest.approx(world)
    if items > world:
        assert min(len(batch) for share in shares for batch in share) >= min(2, items // world)


def test_an_epoch_is_a_function_of_its_number():
    plan = Plan(items=100, batch_size=10, shuffle=True, seed=1)
    one, again, other = (torch.cat(plan.batches(epoch)) for epoch in (4, 4, 5))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, torch.cat(Plan(items=100, batch_size=10, shuffle=True, seed=2).batches(4)))


def test_batches_of_texts_hold_items_of_like_length():
    lengths = torch.randint(1, 200, (5000,), generator=torch.Generator().manual_seed(0))
    mixed = Plan(items=5000, batch_size=32, shuffle=True)
    bucketed = Plan(items=5000, batch_size=32, shuffle=True, lengths=lengths)

    def padding(plan):
        return sum(int(lengths[b].max()) * len(b) for b in plan.batches(0)) / int(lengths.sum()) - 1

    assert padding(mixed) > 0.8
    assert padding(bucketed) < 0.05
    assert sorted(torch.cat(bucketed.batches(0)).tolist()) == list(range(5000))
    assert not torch.equal(bucketed.batches(0)[0], bucketed.batches(1)[0])


def test_a_chunk_is_its_batches_one_after_the_other():
    x, y = TensorColumns({"a": torch.arange(300.0)}), TensorColumns({"target": torch.arange(300)})
    plan = Plan(items=300, batch_size=32, shuffle=True)
    chunked, single = BatchLoader(x, y, plan, chunked=True), BatchLoader(x, y, plan)
    assert (len(chunked), len(single)) == (1, 10)
    [chunk] = chunked
    parts = chunk["x"]["a"].split(chunk["sizes"])
    for part, batch in zip(parts, single):
        assert torch.equal(part, batch["x"]["a"])
        assert batch["n"] == len(part)
    assert torch.equal(chunk["x"]["a"].long(), chunk["y"]["target"])


def test_large_items_are_not_chunked_out_of_the_cache():
    x = TensorColumns({"a": torch.zeros(64, 3, 256, 256)})
    assert BatchLoader(x, None, Plan(items=64, batch_size=16), chunked=True).batches_per_chunk == 1


def test_ragged_columns_pad_to_the_longest_of_the_batch():
    columns = RaggedColumns(torch.tensor([1, 2, 3, 4, 5, 6]), torch.tensor([1, 3, 2]), pad=0)
    batch = columns.gather(torch.tensor([2, 0]))
    assert batch["input_ids"].tolist() == [[5, 6], [1, 0]]
    assert batch["attention_mask"].tolist() == [[True, True], [True, False]]


def test_lazy_columns_come_in_order_and_are_read_ahead():
    read = []

    def item(i):
        read.append(i)
        return {"a": torch.tensor(i)}

    loader = BatchLoader(LazyColumns(item, 50), None, Plan(items=50, batch_size=10))
    batches = iter(loader)
    assert next(batches)["x"]["a"].tolist() == list(range(10))
    rest = [value for batch in batches for value in batch["x"]["a"].tolist()]
    assert rest == list(range(10, 50))
    assert sorted(read) == list(range(50))


def test_targets_that_are_made_when_asked_for_are_made_ahead():
    threads = []

    def item(i):
        return {"mask": torch.tensor(i)}

    class Drawn(LazyColumns):
        def gather(self, index):
            threads.append(threading.current_thread())
            return super().gather(index)

    x = TensorColumns({"a": torch.arange(50)})
    loader = BatchLoader(x, Drawn(item, 50), Plan(items=50, batch_size=10), chunked=True)
    assert [batch["y"]["mask"].tolist() for batch in loader] == x.tensors["a"].view(5, 10).tolist()
    assert threading.current_thread() not in threads


def test_masks_of_objects_are_drawn_ahead():
    masks = InstanceMasks([[[[0, 0, 4, 0, 4, 4, 0, 4]]]], [(8, 8)], (8, 8))
    assert not BatchLoader(TensorColumns({"a": torch.arange(1)}), masks, Plan(items=1, batch_size=1)).in_memory
