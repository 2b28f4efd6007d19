"""Writing in a graph: the loop writes what transformers writes, by all the settings that it knows; others are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fastgpu.errors import ExportError
from fastgpu.export.int8 import quantized
from fastgpu.export.int8_weights import with_whole_weights
from fastgpu.export.onnx import graphs_of, to_onnx
from fastgpu.nn.adapters import adapt
from fastgpu.nn.writing import Rules, padded

transformers = pytest.importorskip("transformers")

MOST = 9
SETTINGS = {
    "greedily": {},
    "greedily, forced and barred": {"forced_bos_token_id": 7, "forced_eos_token_id": 3, "bad_words_ids": [[0], [9]], "suppress_tokens": [11]},
    "beams": {"num_beams": 4, "forced_eos_token_id": 3, "begin_suppress_tokens": [3, 8]},
    "beams, early": {"num_beams": 3, "early_stopping": True, "length_penalty": 0.6},
    "beams, never early": {"num_beams": 2, "early_stopping": "never", "length_penalty": 1.5, "eos_token_id": [3, 5]},
}


def network(**settings):
    """A Marian of random weights, large enough for texts of all kinds."""
    torch.manual_seed(0)
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))}
    numbers = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 0, "forced_eos_token_id": None}
    config = transformers.MarianConfig(vocab_size=40, d_model=16, max_position_embeddings=16, **sizes, **numbers)
    net = transformers.MarianMTModel(config).eval().requires_grad_(False)
    for weight in net.parameters():
        if weight.ndim > 1:
            weight.normal_(std=0.5)
    net.final_logits_bias[0, 3] = 5.0
    net.generation_config.update(**settings)
    return net


class Writing(nn.Module):
    """A graph of a network that writes."""

    def __init__(self, net):
        super().__init__()
        self.model, self.inputs, self.outputs = adapt(net, ("input_ids", "attention_mask")), ["ids", "mask"], ["tokens"]

    def forward(self, *columns):
        return (self.model.generate_in_graph(dict(zip(("input_ids", "attention_mask"), columns)), most=MOST),)


def texts(items, length):
    ids = torch.randint(4, 40, (items, length), generator=torch.Generator().manual_seed(items))
    mask = torch.arange(length) < torch.arange(items)[:, None] % length + 1
    return ids.masked_fill(~mask, 0), mask


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_loop_writes_what_the_network_writes(settings):
    graph = Writing(network(**settings))
    some = torch.export.Dim.DYNAMIC
    made = torch.export.export(graph, texts(5, 7), dynamic_shapes=(({0: some, 1: some},) * 2,)).module()
    for items, length in ((1, 3), (5, 7), (40, 6)):
        given = texts(items, length)
        [found], [expected] = made(*given), graph(*given)
        assert found.shape == (items, MOST)
        assert torch.equal(found, expected)
    assert len({tuple(row) for row in expected.tolist()}) > 10


def test_outside_of_a_graph_it_is_what_generate_gives():
    graph = Writing(network(num_beams=2))
    ids, mask = texts(6, 5)
    [found] = graph(ids, mask)
    expected = graph.model.net.generate(ids, attention_mask=mask, max_new_tokens=MOST, do_sample=False)[:, 1:]
    for row, right in zip(found.tolist(), expected.tolist(), strict=True):
        end = right.index(3) + 1 if 3 in right else len(right)
        assert row == right[:end] + [0] * (MOST - end)


def test_what_comes_after_the_end_is_filled_up():
    rules = Rules(start=0, ends=(3, 4), pad=1, most=6)
    tokens = torch.tensor([[5, 3, 7, 3], [5, 6, 7, 8], [4, 3, 3, 3]])
    assert padded(tokens, rules).tolist() == [[5, 3, 1, 1, 1, 1], [5, 6, 7, 8, 1, 1], [4, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"no_repeat_ngram_size": 2}, "no_repeat_ngram_size"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"bad_words_ids": [[5, 6]]}, "bad_words_ids of several tokens"),
        ({"min_length": 4}, "min_length"),
    ],
)
def test_settings_that_a_graph_does_not_hold_are_refused(settings, named):
    graph = Writing(network(**settings))
    with pytest.raises(ExportError, match=f"writes greedily or with beams. Its generation_config has {named}. Set it to None"):
        graph(*texts(2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["range", "dynamic", "float"])
def test_whole_numbers_in_the_body_of_a_loop(mode):
    import onnxruntime

    graph = Writing(network())
    given = dict(zip(graph.inputs, texts(5, 7)))
    floats = to_onnx(graph, given, {"ids": 1, "mask": 1})
    layers = [name for name, part in graph.model.net.named_modules() if isinstance(part, nn.Linear) and "layers" in name]
    feeds = {name: value.numpy() for name, value in given.items()}
    if mode == "range":
        made = quantized(floats, [feeds], ranges=dict.fromkeys(layers, (-8.0, 8.0)))
    else:
        made = with_whole_weights(floats, layers, dynamic=mode == "dynamic")
    _, body = graphs_of(made.graph)
    whole = {tensor.name for tensor in made.graph.initializer if tensor.data_type == tensor.INT8 and len(tensor.dims) == 2}
    assert len(whole) == len(layers)
    if mode == "dynamic":
        assert sum(node.op_type == "MatMulInteger" for node in body.node) == 8  # self-attention 4, cross 2, and 2
    else:
        casts = [node for node in made.graph.node if node.op_type == "Cast" and node.input[0] in whole]
        assert len(casts) == (8 if mode == "range" else len(layers))
    assert not any(part.metadata_props for part in (*body.node, *body.value_info))
    run = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    [found] = run.run(None, feeds)
    [right] = graph(*given.values())
    assert np.mean(found == right.numpy()) > 0.5  # rounding leads a text elsewhere from some token on
