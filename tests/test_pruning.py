"""Pruning: groups that keep their promise, the callback, and how it goes with everything else."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from comparing import same_weights
from compressible import FAMILIES, network
from fields import all_fields
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from plain_lightning import Plain, plain_conv, trained
from torch import nn

from fastgpu import Learner
from fastgpu.callbacks import Pruning
from fastgpu.callbacks.compressing import share_done
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.cli import main
from fastgpu.compress import prune
from fastgpu.compress.groups import find_groups
from fastgpu.compress.masks import ChannelMasks
from fastgpu.compress.measure import alternate, latency, macs, parameters
from fastgpu.compress.quantize import quantized_layers
from fastgpu.compress.report import CompressionReport
from fastgpu.compress.reshape import fit_to
from fastgpu.compress.schedule import cubic
from fastgpu.compress.weight_masks import WeightMasks
from fastgpu.errors import ArgumentError, ModelError, UnknownKeywordError, UnknownNameError

FIXED = {"lstm/small": "SeriesLSTM has none"}
"""Families whose channels cannot be cut, and what is said."""

ANSWER = "it gives the network's answer, and no later layer could mend what zeros change there"
"""Why single weights of the last layer stay."""

HEADS = {"test_vit": 6, "swin_tiny_patch4_window7_224": 12}


def pictures(n=4):
    return torch.rand(n, 1, 8, 8)


LONG = {"swin_tiny_patch4_window7_224", "mixer_s32_224", "tf_efficientnet_lite0"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in FAMILIES])
def test_every_family_masked_and_cut_agree_and_a_fresh_one_takes_the_weights(name):
    net, x = network(name)
    if name in FIXED:
        with pytest.raises(ModelError, match=rf"needs some that can be cut\. {FIXED[name]}.*method=\"unstructured\""):
            ChannelMasks(net, x)
        return
    whole, original = parameters(net), copy.deepcopy(net.state_dict())
    masks = ChannelMasks(net, x, amount=0.5)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), original.values()))
    assert sum(group.kind == "heads" for group in masks.groups) == HEADS.get(name, 0)
    for share in (0.3, 1.0):
        masks.update(share)
        masks.apply()
    masked = net(*x)
    assert net.state_dict().keys() == original.keys()
    masks.finish()
    assert parameters(net) < 0.8 * whole
    cut = net(*x)
    assert (masked - cut).abs().max() <= 1e-5 * cut.abs().max()
    assert cut.shape == masked.shape
    assert net.state_dict().keys() == original.keys()
    # It trains on,
    net.train()
    nn.functional.cross_entropy(net(*x), torch.tensor([0, 1, 2, 1])).backward()
    net.eval()
    # and a fresh network takes its form from the weights alone.
    fresh, _ = network(name)
    fit_to(fresh, net.state_dict())
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(*x), net(*x))
    # It can be pruned again.
    assert parameters(net) > prune(net, x, amount=0.5, round_to=1).after
    assert net(*x).shape == cut.shape


class TestGroups:
    def test_what_mixes_channels_is_left_alone(self):
        net = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
        found = find_groups(net, torch.randn(2, 4))
        assert [group.name for group in found.groups] == ["2"]
        assert found.left == {"0": "LayerNorm (1) mixes its channels", "4": "its outputs are the network's answer"}

    @pytest.mark.parametrize("between", [nn.Sigmoid(), nn.Softplus(), nn.Softmax(1)])
    def test_a_zero_that_does_not_stay_zero_is_found_out(self, between):
        net = nn.Sequential(nn.Linear(4, 16), between, nn.Linear(16, 3))
        assert find_groups(net, torch.randn(2, 4)).left["0"].startswith("masked and cut do not agree")

    def test_parts_of_a_grouped_convolution_go_whole(self):
        net = nn.Sequential(
            nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 5)
        )
        result = prune(net, torch.randn(2, 3, 8, 8), amount=0.5, round_to=1)
        assert result.layers == {"0": (2, 4)}
        assert (net[0].out_channels, net[2].in_channels, net[2].out_channels, net[2].groups) == (8, 8, 16, 2)

    def test_shared_weights_stay_shared(self):
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.head = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 3)
                self.b.weight = self.a.weight

            def forward(self, x):
                return self.head(self.a(x).relu() + self.b(x + 1).relu())

        net = Tied()
        prune(net, torch.randn(2, 8), amount=0.5)
        assert net.a.weight is net.b.weight
        assert net.head.in_features == 8

    def test_inputs_by_name_and_concatenation(self):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.head = nn.Linear(4, 16), nn.Linear(6, 32), nn.Linear(48, 2)

            def forward(self, *, first, second):
                return {"logits": self.head(torch.cat([self.a(first).relu(), self.b(second).relu()], 1))}

        net = Two()
        prune(net, {"first": torch.randn(2, 4), "second": torch.randn(2, 6)}, amount=0.5)
        assert (net.a.out_features, net.b.out_features, net.head.in_features) == (8, 16, 24)

    def test_the_callers_generators_and_modes_are_left_alone(self):
        net, x = plain_conv().train(), pictures()
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        find_groups(net, x)
        assert torch.equal(torch.rand(1), expected)
        assert all(module.training for module in net.modules())

    def test_ignored_layers_keep_their_channels(self):
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
        result = prune(net, torch.randn(2, 4), ignore="0")
        assert result.left["0"] == "ignore names 0"
        assert (net[0].out_features, net[2].out_features) == (16, 8)

    def test_the_least_important_go(self):
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        with torch.no_grad():
            net[0].weight[::2] *= 0.01
            net[2].weight[:, ::2] *= 0.01
        kept = net[0].weight[1::2].clone()
        prune(net, torch.randn(2, 4))
        assert torch.equal(net[0].weight, kept)

    def test_taylor_looks_at_gradients(self):
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        with pytest.raises(ArgumentError, match=r'"taylor" looks at gradients\. There are none yet\. Call backward first'):
            prune(net, torch.randn(2, 4), importance="taylor")
        with torch.no_grad():
            net[2].weight[:, :8] = 0  # what these make is not heard, so the loss does not ask for them
        net(torch.rand(20, 4)).square().sum().backward()
        net[2].weight.grad[:, :8] = 0
        kept = net[0].weight[8:].clone()
        prune(net, torch.randn(2, 4), importance="taylor")
        assert torch.equal(net[0].weight, kept)


class Recurrent(nn.Module):
    """A recurrent layer between others, called once, or for each time where it is a cell."""

    def __init__(self, kind, packed=False, **options):
        super().__init__()
        torch.manual_seed(0)
        self.packed, self.cell = packed, issubclass(kind, nn.RNNCellBase)
        self.conv, self.into = nn.Conv1d(4, 16, 3, padding=1), nn.Linear(16, 16)
        self.memory = kind(16, 24, **options if self.cell else {"batch_first": True, **options})
        self.out, self.head = nn.Linear(24 * (1 + options.get("bidirectional", False)), 32), nn.Linear(32, 3)

    def forward(self, x):
        x = self.into(self.conv(x.transpose(1, 2)).relu().transpose(1, 2)).relu()
        if self.cell:
            state = None
            for step in x.unbind(1):
                state = self.memory(step, state)
            last = state[0] if isinstance(state, tuple) else state
        elif self.packed:
            rows = self.memory(nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True))[0]
            last = nn.utils.rnn.pad_packed_sequence(rows, batch_first=True)[0][:, -1]
        else:
            last = self.memory(x)[0][:, -1]
        return self.head(self.out(last).relu())


class TestRecurrent:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            (nn.GRU, {}), (nn.GRU, {"bidirectional": True, "num_layers": 2}), (nn.GRU, {"packed": True}), (nn.LSTM, {}), (nn.RNN, {}),
            (nn.GRUCell, {}), (nn.LSTMCell, {}),
        ],
        ids=str,
    )
    def test_a_network_is_pruned_around_them(self, kind, options):
        net, x = Recurrent(kind, **options).eval(), torch.randn(2, 7, 4)
        before = {name: value.clone() for name, value in net.memory.state_dict().items()}
        masks = ChannelMasks(net, x)
        masks.update(1.0)
        masks.apply()
        masked = net(x)
        masks.finish()
        assert torch.allclose(net(x), masked, atol=1e-5)
        assert (net.conv.out_channels, net.into.in_features, net.into.out_features, net.out.out_features) == (8, 8, 16, 16)
        assert all(torch.equal(value, before[name]) for name, value in net.memory.state_dict().items())
        assert masks.left["memory"] == f"{kind.__name__} layers are left whole"
        assert masks.left["into"] == f"{kind.__name__} (memory) is tied to it and left whole"
        net(x).sum().backward()

    def test_ignore_may_name_one(self):
        net = Recurrent(nn.GRU)
        prune(net, torch.randn(2, 7, 4), ignore="memory")
        assert net.conv.out_channels == 8

    @pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
    def test_where_there_is_nothing_else_single_weights_go(self, kind):
        class Only(nn.Module):
            def __init__(self):
                super().__init__()
                self.memory, self.head = kind(4, 24), nn.Linear(24, 3)

            def forward(self, x):
                return self.head(self.memory(x)[0][-1])

        net, x = Only(), torch.randn(7, 2, 4)
        with pytest.raises(ModelError, match=rf"Only has none \(memory: {kind.__name__} layers are left whole; head.*Take method=\"unstructured\""):
            prune(net, x)
        result = prune(net, x, method="unstructured")
        assert list(result.layers) == ["memory.weight_ih_l0", "memory.weight_hh_l0"]
        for key, (gone, of) in result.layers.items():
            assert gone == of // 2 == int((net.get_parameter(key) == 0).sum())
        assert net(x).shape == (2, 3)


class TestWeights:
    @pytest.mark.parametrize("method", ["unstructured", "2:4"])
    def test_weights_that_lie_channels_last(self, method):
        torch.manual_seed(0)
        first = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
        last = copy.deepcopy(first).to(memory_format=torch.channels_last)
        for net in (first, last):
            prune(net, None, amount=0.5, method=method)
        assert (first[0].weight == 0).float().mean() == 0.5
        assert torch.equal(first[0].weight, last[0].weight)

    def test_ignore_that_is_no_name_and_none(self):
        with pytest.raises(ArgumentError, match=r"ignore is the name of a module, or several\. 5 came"):
            prune(plain_conv(), pictures(), ignore=5)
        with pytest.raises(ArgumentError, match="ignore is the name of a module, or several"):
            Pruning(ignore=5)
        assert prune(plain_conv(), pictures(), ignore=None).layers == {"0": (8, 16)}

    def test_unstructured_takes_the_smallest_and_leaves_the_head(self):
        net = plain_conv()
        head = net[4].weight.clone()
        result = prune(net, None, amount=0.75, method="unstructured")
        assert result.layers == {"0": (108, 144)}
        assert (net[0].weight == 0).sum() == 108
        assert torch.equal(net[4].weight, head)
        assert "size and latency stay as they were" in str(result)

    def test_the_head_is_what_gives_the_answer_wherever_it_was_registered(self):
        class HeadFirst(nn.Module):
            def __init__(self):
                super().__init__()
                self.classes, self.boxes = nn.Linear(16, 3), nn.Linear(16, 4)
                self.norm, self.body, self.grid = nn.LayerNorm(3), nn.Linear(8, 16), nn.Parameter(torch.zeros(1, 8))

            def forward(self, x):
                seen = self.body(x + self.grid).relu()
                return {"scores": self.norm(self.classes(seen)).softmax(1), "boxes": self.boxes(seen).reshape(-1, 2, 2).exp()}

        result = prune(HeadFirst(), torch.randn(2, 8), method="unstructured")
        assert result.layers == {"body": (64, 128)}
        assert result.left == dict.fromkeys(("classes", "boxes"), ANSWER)

    def test_two_of_each_four(self):
        net = nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 3, 1))
        masks = WeightMasks(net, two_of_four=True, head=())
        assert masks.left == {"3": "its 6 inputs are not a multiple of 4"}
        masks.update(0.5)
        before = {name: mask.clone() for name, mask in masks.masked.items()}
        masks.update(1.0)
        masks.finish()
        for name in ("0", "2"):
            zeros = (net.get_submodule(name).weight == 0).movedim(1, -1).reshape(-1, 4).sum(1)
            assert (zeros == 2).all()
            assert (masks.masked[name] | ~before[name]).all()  # what was masked stays masked


def test_the_schedule_is_that_of_zhu_and_gupta():
    assert [cubic(p, 0.2, 0.6) for p in (0.0, 0.2, 0.6, 1.0)] == [0, 0, 1, 1]
    assert cubic(0.4, 0.2, 0.6) == pytest.approx(1 - 0.5**3)


class TestMistakes:
    @pytest.mark.parametrize("amount", [0, 1, -0.1, 1.5, "half", True])
    def test_amount(self, amount):
        with pytest.raises(ArgumentError, match=r"amount is the share that is pruned, above 0 and below 1\. .* came"):
            Pruning(amount)
        with pytest.raises(ArgumentError, match="amount is the share"):
            prune(plain_conv(), pictures(), amount=amount)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"method": "2-4"}, r"Unknown method of pruning '2-4'\. Did you mean '2:4'"),
            ({"importance": "tayler"}, r"Unknown importance 'tayler'\. Did you mean 'taylor'"),
            ({"schedule": "qubic"}, r"Unknown schedule of pruning 'qubic'\. Did you mean 'cubic'"),
            ({"start": 0.7}, r"shares of the fit, 0 to 1, start before end\. 0.7 and 0.6 came"),
            ({"end": 1.2}, "shares of the fit, 0 to 1"),
            ({"round_to": 0}, r"round_to is a whole number of channels, at least 1\. 0 came"),
        ],
    )
    def test_options(self, options, match):
        with pytest.raises(ArgumentError, match=match):
            Pruning(**options)

    def test_a_misspelt_option(self, make):
        with pytest.raises(UnknownKeywordError, match="Pruning does not take 'methode'. Did you mean 'method'"):
            make().prune(0.5, methode="structured")

    def test_half_is_what_two_of_four_are(self):
        with pytest.raises(ArgumentError, match=r"prunes half of the weights\. amount=0.3 came"):
            prune(plain_conv(), None, amount=0.3, method="2:4")

    def test_a_misspelt_layer(self, make, out):
        learn = make("resnet10t")
        with pytest.raises(UnknownNameError, match=r"Unknown module in ignore 'layer9'\. Did you mean 'layer4'"):
            learn.fit(1, callbacks=Pruning(ignore=["layer9"]))
        with pytest.raises(UnknownNameError, match="Unknown module in ignore 'layer9'"):
            learn.prune(ignore="layer9")
        assert not out.exists()

    def test_a_part_is_named_by_the_nearest_name_of_its_own(self, make, out):
        learn = make("resnet10t")
        with pytest.raises(UnknownNameError, match=r"Unknown module in network 'fcc'\. Did you mean 'fc'"):
            learn.prune(network="fcc")
        with pytest.raises(UnknownNameError, match=r"Unknown module in network 'dwnsample'\. Did you mean 'layer4.0.downsample'"):
            learn.prune(network="dwnsample")
        with pytest.raises(UnknownNameError, match=r"Unknown module in network 'hed'\. Its parts: conv1, bn1, .*, fc\."):
            learn.prune(network="hed")
        assert not out.exists()

    def test_an_amount_that_rounds_to_none(self):
        net, x = nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 16), nn.ReLU(), nn.Linear(16, 3)), torch.randn(2, 4)
        expected = r"none \(0: 0\.01 of its 256 units rounds to none, with round_to=8; 2: .*\)\. Give a larger amount or a smaller round_to"
        with pytest.raises(ModelError, match=expected):
            prune(net, x, amount=0.01)
        assert prune(net, x, amount=0.2, ignore="2", round_to=64).layers == {"0": (64, 256)}

    @pytest.mark.parametrize("method", ["structured", "unstructured"])
    def test_what_is_frozen(self, make, out, method):
        learn = make("mlp")
        learn.module[1].requires_grad_(False)
        report = learn.prune(epochs=1, method=method)
        assert "pruned: nothing, since all that could go is frozen" in report.notes
        learn = make("mlp", name="all")
        learn.module.requires_grad_(False)
        with pytest.raises(ModelError, match=r"All of Sequential are frozen\. Let some require gradients: unfreeze\(\)"):
            learn.prune(method=method)
        assert not (out / "all").exists()

    def test_a_network_with_nothing_to_cut(self, make, out):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        with pytest.raises(ModelError, match=r"needs some that can be cut\. Sequential has none \(1: its outputs are the network's answer\)"):
            make(net).prune(epochs=1)
        assert not out.exists()

    def test_a_network_that_cannot_be_followed(self):
        class Counts(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(4, 16)

            def forward(self, x):
                return self.a(x).argmax(1).float()

        with pytest.raises(ModelError, match=r"Counts gives nothing that depends on its weights by a gradient.*method=\"unstructured\""):
            prune(Counts(), torch.randn(2, 4))

    def test_an_example_that_does_not_fit(self):
        with pytest.raises(ModelError, match=r"runs a copy of the network on an example\. Sequential failed: RuntimeError.*Check example_inputs"):
            prune(plain_conv(), torch.randn(2, 3, 8, 8))
        with pytest.raises(ArgumentError, match=r"a tensor, a tuple, or a dict by name\. str came"):
            prune(plain_conv(), "picture")

    def test_without_torch_pruning(self, tmp_path):
        code = (
            "import sys; sys.modules['torch_pruning'] = None\n"
            "import torch; from fastgpu.compress import prune\n"
            "prune(torch.nn.Linear(2, 2), torch.rand(2, 2))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "Structured pruning needs the package torch_pruning, which is not installed. Run: pip install 'fastgpu[prune]'" in done.stderr


class Whole(Plain):
    """One whose layers are its own."""

    def __init__(self):
        super().__init__()
        self.first, self.last = self.net[:4], self.net[4]
        del self.net

    def forward(self, x):
        return self.last(self.first(x))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))


class Watch(pl.Callback):
    """Notes how many channels of the first layer are silent after each epoch, and what validation sees."""

    def __init__(self):
        self.silent, self.seen = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        self.silent.append(self.zeros(pl_module))

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.seen.append(self.zeros(pl_module))

    def zeros(self, module):
        return int((module.net[0]._parameters["weight"].flatten(1) == 0).all(1).sum())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*")
class TestPlainLightning:
    @pytest.mark.parametrize(
        "settings",
        [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 1.0}],
        ids=lambda s: next(iter(s), "plain"),
    )
    def test_masks_grow_and_are_cut_at_the_end(self, settings):
        callback, watch = Pruning(0.5), Watch()
        module = trained([callback, watch], epochs=5, **settings)
        assert watch.silent == sorted(watch.silent)
        assert watch.silent[-1] == 8
        assert watch.silent[0] > 0
        assert (module.net[0].out_channels, module.net[1].num_features, module.net[4].in_features) == (8, 8, 288)
        assert callback.pruned is not None
        assert callback.pruned.layers == {"0": (8, 16)}
        assert module.net(pictures()).shape == (4, 10)

    def test_what_was_validated_is_what_is_cut(self):
        class Outputs(pl.Callback):
            def on_train_end(self, trainer, pl_module):
                self.masked = pl_module.eval().net(pictures_seen)

        pictures_seen, outputs = pictures(), Outputs()
        module = trained([Pruning(0.5), outputs])
        assert torch.allclose(module.eval().net(pictures_seen), outputs.masked, atol=1e-6)

    @pytest.mark.parametrize("order", [1, -1])
    def test_with_weight_averaging_in_either_order(self, order):
        watch = Watch()
        callbacks = [Pruning(0.5), EMAWeightAveraging(decay=0.9, update_every_n_steps=1), watch]
        module = trained(callbacks[:2][::order] + [watch], epochs=5)
        assert watch.seen[-1] == 8  # averaged weights are masked where they are judged
        assert module.net[0].out_channels == 8
        assert torch.isfinite(module.net(pictures())).all()

    def test_with_quantization_in_the_same_fit(self):
        module = trained([QuantizationAwareTraining(), Pruning(0.5), EMAWeightAveraging(update_every_n_steps=1)])
        assert list(quantized_layers(module.net)) == ["0", "4"]
        assert module.net[0]._parameters["weight"].shape == (8, 1, 3, 3)
        assert module.net(pictures()).shape == (4, 10)

    @pytest.mark.parametrize("module", [Whole, lambda: Plain(compiled=True)], ids=["own layers", "compiled"])
    def test_the_network_is_found(self, module):
        callback = Pruning(0.5)
        trained([callback], module())
        assert [gone for gone, _ in callback.pruned.layers.values()] == [8]

    def test_the_network_is_named(self):
        with pytest.raises(UnknownNameError, match=r"Unknown module in network 'nett'\. Did you mean 'net'"):
            trained([Pruning(network="nett")])
        with pytest.raises(ModelError, match=r"Conv2d was not called in the first step|needs some that can be cut"):
            trained([Pruning(network="net.0")])

    def test_frozen_parts_stay(self):
        module = Plain()
        module.net[0].requires_grad_(False)
        before = module.net[0].weight.clone()
        callback = Pruning()
        trained([callback], module)
        assert torch.equal(module.net[0].weight, before)
        assert callback.pruned.left["0"] == "its weights are frozen"

    def test_two_fits_of_one_callback_prune_once(self):
        callback = Pruning(0.5)
        module = trained([callback])
        trained([callback], module)
        assert module.net[0].out_channels == 8
        trained([callback], other := Plain())
        assert other.net[0].out_channels == 8

    @pytest.mark.parametrize("method", ["unstructured", "2:4"])
    def test_single_weights_stay_zero_over_two_fits(self, method):
        module = Plain()
        module.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        callback = Pruning(0.5, method=method)
        trained([callback], module)
        zeros = module.net[1].weight == 0
        assert zeros.sum() == 512
        trained([callback], module)
        assert torch.equal(module.net[1].weight == 0, zeros)

    def test_single_weights_of_the_head_stay_though_it_was_registered_first(self):
        class HeadFirst(nn.Module):
            def __init__(self):
                super().__init__()
                self.head, self.body = nn.Linear(16, 10), nn.Linear(64, 16)

            def forward(self, x):
                return self.head(self.body(x.flatten(1)).relu())

        module, callback = Plain(), Pruning(method="unstructured")
        module.net = HeadFirst()
        trained([callback], module)
        assert callback.pruned.left == {"head": ANSWER}

    def test_a_fit_that_ends_early_cuts_what_it_had_come_to(self):
        class Stop(pl.Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                trainer.should_stop = trainer.current_epoch == 3

        module = trained([Pruning(0.5, end=1.0), Stop()], epochs=8)
        assert 8 < module.net[0].out_channels < 16

    @pytest.mark.parametrize("options", [{}, {"importance": "taylor"}, {"method": "unstructured"}], ids=str)
    def test_resumed_in_the_middle_it_ends_the_same(self, tmp_path, options):
        keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
        whole = trained([Pruning(**options), keep], epochs=4, enable_checkpointing=True)
        for checkpoint in ("epoch=0*", "epoch=1*"):
            resumed = trained([Pruning(**options)], epochs=4, ckpt=str(next(tmp_path.glob(checkpoint))))
            assert all(torch.equal(a, b) for a, b in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True))

    def test_a_fit_without_end(self):
        with pytest.raises(ArgumentError, match="This Trainer's has no end. Give it max_epochs, max_steps or max_time"):
            trained([Pruning()], epochs=-1)
        assert trained([Pruning(end=0.5)], epochs=-1, max_steps=8).net[0].out_channels == 8
        assert trained([Pruning()], epochs=-1, max_time={"seconds": 1}).net[0].out_channels == 8

    @pytest.mark.parametrize(
        "limits",
        [
            {}, {"epochs": 50, "max_steps": 10}, {"epochs": -1, "max_steps": 10},
            {"epochs": -1, "max_time": {"seconds": 1}}, {"epochs": 1_000_000, "max_time": {"seconds": 1}},
        ],
        ids=["epochs", "steps before epochs", "steps", "time", "time before epochs"],
    )
    def test_the_share_that_is_done_is_of_the_limit_that_ends_the_fit(self, limits):
        class Shares(pl.Callback):
            before, after = [], []

            def on_train_start(self, trainer, pl_module):
                trainer.optimizers[0].register_step_post_hook(lambda *_: self.after.append(share_done(trainer, pl_module, stepped=True)))

            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                self.before.append(share_done(trainer, pl_module))

        seen = Shares()
        trained([seen], **limits)
        assert seen.before == sorted(seen.before)
        assert seen.before[0] == pytest.approx(0, abs=0.2)
        assert seen.after[-1] == pytest.approx(1, abs=0.1 if "max_time" in limits else 0)

    def test_a_fit_that_goes_on_from_a_checkpoint_counts_its_own_steps(self, tmp_path):
        trained([ModelCheckpoint(tmp_path, "before")], epochs=-1, max_steps=8, enable_checkpointing=True)
        watch = Watch()
        module = trained([Pruning(0.5, end=1.0), watch], epochs=-1, max_steps=16, ckpt=str(tmp_path / "before.ckpt"))
        assert 0 < watch.silent[-2] < 4  # in the middle of this fit
        assert module.net[0].out_channels == 8


class TestLearner:
    def test_the_smaller_network_is_judged_kept_loaded_and_trained_on(self, make, tmp_path, digits):
        learn = make("mlp")
        learn.fit(2)
        pruning = Pruning(0.5)
        learn.fit(4, callbacks=pruning)
        assert learn.weights_epoch == 6  # earlier ones are of a larger network
        assert parameters(learn.module) == 4810
        assert learn.evaluate()["loss"] == pytest.approx(learn.history["val_loss"][-1], rel=1e-5)
        expected = learn.predict(digits[1][0]).probabilities
        for path in (learn.save(tmp_path / "saved"), learn.run_dir):
            assert (Learner.load(path).predict(digits[1][0]).probabilities == expected).all()
        learn.fit(2, callbacks=pruning)
        assert parameters(learn.module) == 4810
        assert learn.weights_epoch == learn.history.since(6).best("val_accuracy", higher_is_better=True)["epoch"]
        loaded = Learner.load(learn.save(tmp_path / "saved"), digits, report=False, verbose=False, out=tmp_path)
        loaded.fit(1)
        assert parameters(loaded.module) == 4810

    def test_it_loads_without_torch_pruning(self, make, tmp_path, digits):
        learn = make("mlp")
        learn.prune(epochs=1)
        path = learn.save(tmp_path / "saved")
        code = (
            "import sys; sys.modules['torch_pruning'] = None\nfrom fastgpu import Learner\n"
            f"print(sum(p.numel() for p in Learner.load({str(path)!r}).module.parameters()))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "4810", done.stderr

    def test_a_killed_fit_is_resumed_to_the_bit(self, make):
        class Stop(pl.Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                if pl_module.epoch == 3:
                    raise RuntimeError("killed")

        def start(name):
            learn = make("mlp", name=name)
            learn.fit(1)
            return learn

        whole = start("whole")
        whole.fit(5, callbacks=[Pruning()])
        cut = start("cut")
        with pytest.raises(RuntimeError, match="killed"):
            cut.fit(5, callbacks=[Pruning(), Stop()])
        assert parameters(cut.module) == 9610
        resumed = make("mlp", name="cut")
        resumed.fit(resume=cut.run_dir, callbacks=[Pruning()])
        assert same_weights(resumed, whole)
        assert resumed.history["val_loss"] == whole.history["val_loss"]

    def test_a_fit_that_broke_off_goes_on_with_its_masks(self, make):
        class Stop(pl.Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                if pl_module.epoch == 4:
                    raise RuntimeError("killed")

        class Zeros(pl.Callback):
            found = None

            def on_train_batch_end(self, trainer, pl_module, *_):
                if self.found is None:
                    self.found = int((pl_module.model.net[1].weight == 0).all(1).sum())

        learn, zeros = make("mlp"), Zeros()
        with pytest.raises(RuntimeError, match="killed"):
            learn.fit(5, callbacks=[Pruning(), Stop()])
        learn.fit(3, callbacks=[Pruning(), zeros])
        assert zeros.found == 64
        assert parameters(learn.module) == 4810

    def test_a_part_of_the_network(self, make):
        learn = make(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32)), nn.ReLU(), nn.Linear(32, 10)))
        learn.fit(2, callbacks=(pruning := Pruning(network="1")))
        assert pruning.pruned.layers == {"0": (16, 32)}
        assert (learn.module[1][0].out_features, learn.module[1][2].out_features) == (16, 32)

    def test_one_pruning_at_a_time(self, make):
        with pytest.raises(ArgumentError, match="prune brings its own Pruning callback"):
            make("mlp", callbacks=["pruning"]).prune()

    def test_in_fine_tune_the_second_part_prunes(self, make):
        learn = make("mlp/large")
        learn.fine_tune(2, callbacks=Pruning())
        assert learn.module[1].out_features == 256

    def test_the_report(self, make):
        learn = make("mlp")
        learn.fit(3)
        report = learn.prune(0.5, epochs=4)
        assert [step["step"] for step in report.steps] == ["as it came", "pruned"]
        assert (report.steps[0]["parameters"], report.steps[1]["parameters"]) == (9610, 4810)
        assert report.ratio("macs") == 0.5
        assert report.ratio("size_kb") < 0.55
        assert report.steps[1]["accuracy"] == pytest.approx(learn.history["val_accuracy"][-1])
        assert {"latency_1_ms", "latency_32_ms", "spread_1_ms", "threads"} <= set(report.steps[0])
        json.dumps(report.to_dict())
        assert len(report.to_frame()) == 2
        shown = str(report)
        assert "4,810 (50%)" in shown
        assert "pruned: 50% of the channels" in shown
        sparse = learn.prune(0.5, epochs=1, method="unstructured")
        assert "zeros gain nothing on a CPU" in str(sparse)
        assert sparse.ratio("size_kb") == 1

    def test_what_loses_more_than_may_be_lost_leaves_the_learner_as_it_was(self, make, out):
        learn, plain = make("mlp"), make("mlp")
        learn.fit(3)
        files = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
        report = learn.prune(0.9, epochs=1, max_drop=5)
        plain.fit(3)
        assert report.notes[-2].startswith("pruned: refused, accuracy drops by ")
        assert report.notes[-1] == "kept: the network as it came"
        assert report.steps[1]["parameters"] < 9610
        assert learn.compression_reports == [report]
        assert same_weights(learn, plain)
        assert [row["loss"] for row in learn.history] == [row["loss"] for row in plain.history]
        assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file() and plain.run_dir not in file.parents} == files
        learn.fit(1)
        plain.fit(1)
        assert same_weights(learn, plain)  # the optimizer goes on, too

    def test_within_what_may_be_lost_it_is_as_without_a_limit(self, make, out):
        learn, plain = make("mlp", name="limited"), make("mlp", name="plain")
        for each, limit in ((learn, {"max_drop": 90}), (plain, {})):
            each.fit(2)
            each.prune(0.5, epochs=2, **limit)
        assert parameters(learn.module) == 4810
        assert same_weights(learn, plain)
        assert sorted(file.name for file in out.iterdir()) == ["limited", "plain"]
        again = Learner.load(learn.run_dir)
        assert same_weights(again, learn)
        assert again.history.rows == learn.history.rows
        names = [{str(file.relative_to(each.run_dir)) for file in each.run_dir.rglob("*")} for each in (learn, plain)]
        assert names[0] == names[1]
        learn.fit(1)
        plain.fit(1)
        assert same_weights(learn, plain)

    def test_a_loss_without_a_limit_is_told(self, make):
        learn = make("mlp", lr=1e-2)
        learn.fit(2)
        report = learn.prune(0.9, epochs=1, lr=1e-9)
        assert re.fullmatch(
            r"accuracy drops by \d\d\.\d\d points: learn\.fit\(\.\.\.\) or more epochs= may mend that, "
            r"a smaller amount= loses less, max_drop= refuses it",
            report.notes[-1],
        )

    def test_an_interrupt_within_a_limit_keeps_the_network(self, make):
        class Stops(pl.Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                if pl_module.epoch == 3:
                    raise KeyboardInterrupt

        learn = make("mlp")
        learn.fit(2)
        before = {name: t.clone() for name, t in learn.module.state_dict().items()}
        report = learn.prune(0.5, epochs=4, max_drop=100, callbacks=Stops())
        assert "The fit was interrupted before its end: nothing is cut yet." in report.notes
        assert report.notes[-1] == "kept: the network as it came"
        assert all(torch.equal(before[name], t) for name, t in learn.module.state_dict().items())
        assert len(learn.history) == 2

    @pytest.mark.parametrize("value", [-1, "0.5", True])
    def test_max_drop(self, make, value):
        with pytest.raises(ArgumentError, match=r"max_drop is a number of points, at least 0\. .* came"):
            make("mlp").prune(max_drop=value)

    def test_times_of_a_quantized_network_are_not_those_of_its_rounding(self, make, monkeypatch):
        learn, timed = make("mlp"), []

        def seen(functions):
            timed.extend(each.args[0] for each in functions)
            return alternate(functions)

        monkeypatch.setattr("fastgpu.shrinking.alternate", seen)
        learn.fit(1, callbacks=QuantizationAwareTraining())
        report = learn.prune(0.5, epochs=1)
        assert len(quantized_layers(learn.module)) == 2
        assert "quantized: sizes and times are those of weights in floats" in report.notes[0]
        assert len(timed) == 4
        assert not any(quantized_layers(net) for net in timed)

    @pytest.mark.slow
    def test_compiled(self, make):
        learn = make("mlp", compile=True)
        learn.fit(3, callbacks=Pruning())
        plain = make("mlp")
        plain.fit(3, callbacks=Pruning())
        assert parameters(learn.module) == 4810
        assert learn.history["val_loss"] == pytest.approx(plain.history["val_loss"], rel=1e-3)

    @pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"precision": "64-true"}, {"accumulate": 2}, {"patience": 1}], ids=str)
    def test_settings(self, make, settings):
        learn = make("mlp", **settings)
        learn.fit(4, callbacks="pruning")
        assert parameters(learn.module) < 9610

    def test_with_quantization(self, make, tmp_path):
        learn = make("mlp")
        learn.fit(3)
        learn.fit(3, lr=1e-3, callbacks=[QuantizationAwareTraining(), Pruning()])
        again = Learner.load(learn.save(tmp_path / "saved"))
        assert len(quantized_layers(again.module)) == 2
        assert same_weights(again, learn)
        assert again.module[1]._parameters["weight"].shape[0] == 64


FOLLOWED = {"detection": 0.7, "ranking-deepfm": 0.6, "segmentation": 0.3, "translation": 0.8, "recognition": 0.8}
"""Field -> share of the parameters that is left at most; networks that an adapter calls, in part or otherwise than others."""


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_other_fields(name, out, tmp_path):
    field = next(field for field in all_fields() if field.name == name)
    for package in field.packages:
        pytest.importorskip(package)
    learn = Learner(field.architecture, field.data(tmp_path), out=out, report=False, verbose=False, **field.settings)
    report = learn.prune(0.5, epochs=1)
    assert report.ratio("parameters") < FOLLOWED[name]
    items = field.items(tmp_path)
    loaded = Learner.load(learn.save(tmp_path / "saved"))
    assert str(getattr(loaded.predict(items), field.column)) == str(getattr(learn.predict(items), field.column))


def test_a_shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "mlp", "digits", "--epochs", "2", "--no-verbose"]) == 0
    call = "prune runs/mlp-digits --data digits --amount 0.5 --epochs 2 --out pruned.safetensors --lr 0.002"
    assert main(call.split()) == 0
    shown = capsys.readouterr().out
    assert "4,810 (50%)" in shown
    assert "pruned.safetensors" in shown
    assert parameters(Learner.load("pruned.safetensors").module) == 4810
    assert main(["prune", "runs/mlp-digits", "--amount", "0.9", "--epochs", "1", "--max-drop", "1", "--out", "no.safetensors"]) == 0
    assert "the network is as it came: no.safetensors is not written" in capsys.readouterr().out
    assert main(["prune", "runs/mlp-digits", "--amount", "2", "--out", "no.safetensors"]) == 2
    assert "amount is the share that is pruned" in capsys.readouterr().err
    assert main(["prune", "runs/mlp-digits"]) == 2
    assert "--out must be a new file. pruned.safetensors is there already" in capsys.readouterr().err
    assert main(["prune", "runs/mlp-digits", "--out", "pruned.safetensors/no.safetensors"]) == 2
    assert "--out must be a file that can be written. pruned.safetensors/no.safetensors: Not a directory" in capsys.readouterr().err


class TestMeasures:
    def test_parameters_and_macs(self):
        net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(144, 10)).train()
        assert parameters(net) == 36 + 1450
        assert macs(net, pictures()) == 36 * 36 + 1440
        assert net.training

    def test_latency_puts_threads_back(self):
        threads = torch.get_num_threads()
        assert latency(lambda: torch.rand(4), 3).median > 0
        assert torch.get_num_threads() == threads

    def test_a_report_of_words(self):
        report = CompressionReport()
        report.add("a", size_kb=4000.0)
        report.add("b", size_kb=2000.0, accuracy="not measured")
        report.note("And why.")
        assert "2,000 (50%)" in str(report)
        assert str(report).endswith("And why.")


DDP = """
import json, os, sys, torch
torch.set_num_threads(1)
from fastgpu import Learner
from fastgpu.callbacks import Pruning
from fastgpu.callbacks.compressing import share_done
from fastgpu.data import sources
train = sources.load("digits").splits["train"]
data = ((train.x[:208], train.y[:208]), (train.x[208:304], train.y[208:304]))
learn = Learner("mlp", data, out=sys.argv[1], batch_size=16, devices=2, strategy="ddp")
learn.fit(1)
learn.fit(3, callbacks=[Pruning(importance="taylor")])
learn.fit(1)
state = {k: [list(v.shape), v.double().sum().item()] for k, v in learn.module.state_dict().items()}
json.dump(state, open(sys.argv[1] + os.environ.get("LOCAL_RANK", "0"), "w"))
"""


@pytest.mark.slow
def test_two_processes_keep_one_network(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(DDP)
    done = subprocess.run([sys.executable, script, str(tmp_path / "r")], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "r0").read_text() == (tmp_path / "r1").read_text()
    assert json.loads((tmp_path / "r0").read_text())["1.weight"][0] == [64, 64]
