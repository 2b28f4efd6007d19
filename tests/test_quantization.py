"""Quantization-aware training: the network that simulates, the callback, and how it goes with everything else."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from compressible import FAMILIES, network
from lightning.pytorch.callbacks import EMAWeightAveraging
from plain_lightning import Plain, loader, trained
from torch import nn

from fastgpu import Learner
from fastgpu.callbacks import Pruning
from fastgpu.callbacks.distillation import Distillation
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.compress.distill import distillation_loss
from fastgpu.compress.quantize import finalize, input_ranges, prepare, quantizable, quantized_layers, settle
from fastgpu.compress.restore import load_weights
from fastgpu.compress.weight_grid import fake_quantize_weight, weight_scales
from fastgpu.errors import ArgumentError, ModelError, UnknownKeywordError, UnknownNameError


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


class TestGrid:
    @pytest.mark.parametrize("shape", [(8, 16, 3, 3), (8, 16, 1, 1), (8, 33), (8, 1, 3, 3), (8, 4, 5)])
    def test_no_pair_of_neighbours_overflows(self, shape):
        torch.manual_seed(0)
        weight = torch.randn(shape).abs()  # of one sign: the worst case
        scales = weight_scales(weight)
        whole = (fake_quantize_weight(weight, scales) / scales.reshape(-1, *[1] * (len(shape) - 1))).round()
        assert whole.abs().max() <= 127
        for rows in (whole.flatten(1), whole.movedim(1, -1).flatten(1)):
            assert rows.shape[1] < 2 or (rows[:, 1:] + rows[:, :-1]).abs().max() <= 128
        assert whole.abs().max() >= 60  # and most of the eighth bit is kept

    def test_depthwise_layers_keep_all_bits(self):
        weight = torch.rand(8, 1, 3, 3)
        assert torch.equal(weight_scales(weight, depthwise=True), weight.flatten(1).amax(1) / 127)

    def test_an_empty_channel_stays_empty(self):
        weight = torch.zeros(2, 3)
        assert torch.equal(fake_quantize_weight(weight, weight_scales(weight)), weight)

    def test_the_gradient_passes(self):
        weight = torch.randn(4, 6, requires_grad=True)
        fake_quantize_weight(weight, weight_scales(weight)).sum().backward()
        assert torch.equal(weight.grad, torch.ones(4, 6))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name):
    net, x = network(name)
    plain, original = net(*x), copy.deepcopy(net.state_dict())
    prepare(net)
    assert set(original) <= set(net.state_dict())
    net.train()
    nn.functional.cross_entropy(net(*x), torch.tensor([0, 1, 2, 1])).backward()
    trained = [p for p in net.parameters() if p.requires_grad]
    assert sum(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in trained) > 0.9 * len(trained)
    load_weights(net, {**net.state_dict(), **original})  # statistics of batch norms as before
    net.eval()
    settle(net, observing=True, simulating=False)
    assert torch.equal(net(*x), plain)
    settle(net, observing=False, simulating=True)
    simulated = net(*x)
    assert not torch.equal(simulated, plain)
    # What was saved comes back into a fresh network, which takes the form that the weights tell.
    fresh, _ = network(name)
    load_weights(fresh, net.state_dict())
    assert torch.equal(fresh(*x), simulated)
    assert torch.equal(pickle.loads(pickle.dumps(net))(*x), simulated)
    assert torch.equal(copy.deepcopy(net)(*x), simulated)
    load_weights(fresh, original)
    assert not quantized_layers(fresh)
    assert torch.equal(fresh(*x), plain)
    finalize(net, snap=False)
    assert torch.equal(net(*x), plain)
    assert net.state_dict().keys() == original.keys()
    assert {type(m) for m in net.modules()} == {type(m) for m in network(name)[0].modules()}


def test_rounding_is_close_on_a_trained_network(make):
    learn = make("mlp")
    learn.fit(5)
    before = learn.predict("val").probabilities
    prepare(learn.module)
    settle(learn.module, observing=True, simulating=False)
    learn.evaluate("train")
    settle(learn.module, observing=False, simulating=True)
    after = learn.predict("val").probabilities
    assert 0 < abs(after - before).max() < 0.05
    assert all(low <= 0 <= high for low, high in input_ranges(learn.module).values())


def test_snapped_weights_are_what_was_simulated():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    prepare(net)
    net(torch.randn(20, 6))
    settle(net, observing=False, simulating=True)
    rounded = {name: layer.weight.detach().clone() for name, layer in quantized_layers(net).items()}
    finalize(net)
    assert all(torch.equal(net.get_submodule(name).weight, weight) for name, weight in rounded.items())
    assert [type(layer) for layer in net] == [nn.Linear, nn.ReLU, nn.Linear]


def test_torchs_own_attention_is_left_alone():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    assert quantizable(layer) == ["linear1", "linear2"]
    x = torch.randn(2, 5, 16)
    prepare(layer.eval())
    layer(x)
    settle(layer, observing=False, simulating=True)
    with torch.no_grad():  # where torch would take its fast path, past the layers
        assert torch.allclose(layer(x), layer.requires_grad_()(x), atol=1e-6)
        assert len(input_ranges(layer)) == 2


class TestMistakes:
    @pytest.mark.parametrize("bits", [1, 9, 8.0, "8"])
    def test_bits(self, bits):
        with pytest.raises(ArgumentError, match=r"bits is a whole number, 2 to 8\. .* came"):
            QuantizationAwareTraining(bits)
        with pytest.raises(ArgumentError, match="bits is a whole number, 2 to 8"):
            prepare(nn.Linear(2, 2), bits=bits)

    def test_target(self):
        with pytest.raises(UnknownNameError, match=r"Unknown target 'tensort'\. Did you mean 'tensorrt'"):
            QuantizationAwareTraining(target="tensort")

    @pytest.mark.parametrize("shares", [{"start": 0.8}, {"start": -0.1}, {"freeze_at": 1.2}])
    def test_shares(self, shares):
        with pytest.raises(ArgumentError, match=r"shares of the fit, 0 <= start < freeze_at <= 1\. .* came"):
            QuantizationAwareTraining(**shares)

    def test_a_misspelt_layer(self, make):
        learn = make("mlp")
        with pytest.raises(UnknownNameError, match="Unknown module in ignore 'heda'"):
            learn.fit(1, callbacks=[QuantizationAwareTraining(ignore=["heda"])])
        assert not quantized_layers(learn.module)
        learn.fit(1)

    def test_nothing_to_quantize(self):
        with pytest.raises(ModelError, match="The network has none that may be quantized"):
            prepare(nn.ReLU())

    def test_words_for_numbers_and_one_name(self):
        assert QuantizationAwareTraining(ignore="head").ignore == ("head",)
        with pytest.raises(ArgumentError, match="start and freeze_at are shares"):
            QuantizationAwareTraining(start="0.1")  # type: ignore[arg-type]

    def test_options(self):
        assert QuantizationAwareTraining(ignore=None).ignore == ()
        assert prepare(nn.Sequential(nn.Linear(2, 2)), ignore=None) == ["0"]
        with pytest.raises(ArgumentError, match=r"ignore is the name of a module, or several\. 3 came"):
            QuantizationAwareTraining(ignore=3)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match=r"distill is True or False\. 'no' came"):
            QuantizationAwareTraining(distill="no")  # type: ignore[arg-type]
        with pytest.raises(UnknownKeywordError, match="QuantizationAwareTraining does not take 'bit'. Did you mean 'bits'"):
            QuantizationAwareTraining(bit=3)  # type: ignore[call-arg]
        with pytest.raises(UnknownKeywordError, match="Distillation does not take 'alfa'. Did you mean 'alpha'"):
            Distillation(alfa=3)  # type: ignore[call-arg]

    def test_weights_that_are_computed_stay(self):
        net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2))
        assert prepare(net) == ["2"]
        assert net(torch.randn(5, 4)).shape == (5, 2)

    def test_another_grid(self):
        net = nn.Linear(2, 2)
        prepare(net)
        with pytest.raises(ArgumentError, match=r"The network is quantized with 8 bits for cpu with inputs 'range'\. 4 bits for cpu"):
            prepare(net, bits=4)

    def test_averaging_before(self):
        with pytest.raises(ArgumentError, match="stands before weight averaging"):
            trained([EMAWeightAveraging(), QuantizationAwareTraining(distill=False)])

    def test_a_teacher_that_is_none(self):
        with pytest.raises(ArgumentError, match=r"A teacher is a torch module.* str came"):
            Distillation("resnet18")  # type: ignore[arg-type]


@pytest.mark.parametrize(("target", "dtype"), [("cpu", torch.float32), ("tensorrt", torch.bfloat16)])
def test_compiled_layers_are_one_graph_and_round_the_same(target, dtype):
    torch.compiler.reset()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).to(dtype)
    prepare(net, target=target)
    net(torch.randn(16, 3, 8, 8, dtype=dtype))
    found = []
    for observing in (True, False):
        settle(net, observing=observing, simulating=True)
        x = 2 * torch.randn(16, 3, 8, 8, dtype=dtype)  # some of it beyond the range
        for called in (copy.deepcopy(net), torch.compile(copy.deepcopy(net), backend="eager", fullgraph=True)):
            given = x.clone().requires_grad_()
            out = called(given)
            out.float().square().sum().backward()
            found.append([out, given.grad, *(p.grad for p in called.parameters())])
        assert all(torch.equal(a, b) for a, b in zip(*found[-2:], strict=True))
        assert (found[-1][1] == 0).any()


class TwoParts(Plain):
    """One whose network stands in two attributes."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = self.net[:4], self.net[4]
        del self.net

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))


class Manual(Plain):
    """One that steps its optimizer itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*")
@pytest.mark.parametrize(
    ("kind", "layers", "why"),
    [
        (TwoParts, ["backbone.0", "head"], "TwoParts has no one part that holds all parameters"),
        (Manual, ["net.0", "net.4"], "Manual optimizes manually"),
    ],
)
def test_modules_that_a_teacher_does_not_suit_learn_without(kind, layers, why):
    callback, module = QuantizationAwareTraining(), kind()
    before = module.state_dict()["backbone.0.weight" if kind is TwoParts else "net.0.weight"].clone()
    with pytest.warns(UserWarning, match=f"QuantizationAwareTraining learns without a teacher here: {why}"):
        trained([callback], module)
    assert list(quantized_layers(module)) == layers
    ranges = input_ranges(module)
    assert all(high > low for low, high in ranges.values())
    assert len(ranges) == 2
    assert not torch.equal(module.state_dict()["backbone.0.weight" if kind is TwoParts else "net.0.weight"], before)
    with pytest.raises(ArgumentError, match=rf"Distillation needs a LightningModule with automatic optimization and one network.*{why}"):
        trained([Distillation()], kind())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*")
class TestPlainLightning:
    def test_a_teacher_for_other_items(self):
        with pytest.raises(ArgumentError, match="takes the items that the student takes. Linear failed at them: mat1 and mat2"):
            trained([Distillation(nn.Linear(3, 4))])

    @pytest.mark.parametrize(
        "settings",
        [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 1.0}],
        ids=lambda s: next(iter(s), "plain"),
    )
    def test_trains(self, settings):
        module = trained([QuantizationAwareTraining()], **settings)
        assert list(quantized_layers(module.net)) == ["0", "4"]
        ranges = input_ranges(module.net)
        assert ranges["0"][1] == pytest.approx(1.0, abs=0.02)
        finalize(module.net)
        assert type(module.net[0]) is nn.Conv2d

    def test_ranges_freeze_in_a_fit_that_its_time_ends(self):
        class Ranges(pl.Callback):
            seen = []

            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                self.seen.append(quantized_layers(pl_module.net)["0"].input_range.batches.item())

        trained([QuantizationAwareTraining(), ranges := Ranges()], epochs=-1, max_time={"seconds": 1})
        assert 0 < ranges.seen.index(ranges.seen[-1]) < len(ranges.seen) - 1

    def test_with_weight_averaging(self):
        module = trained([QuantizationAwareTraining(), EMAWeightAveraging(update_every_n_steps=1)])
        assert torch.isfinite(module.net(torch.rand(2, 1, 8, 8))).all()
        assert input_ranges(module.net)["0"][1] == pytest.approx(1.0, abs=0.05)

    def test_two_fits_of_one_callback(self):
        callback = QuantizationAwareTraining()
        module = trained([callback], epochs=1)
        trained([callback], module, epochs=2)
        assert list(quantized_layers(module.net)) == ["0", "4"]
        assert "training_step" not in vars(module)

    def test_frozen_parts_stay(self):
        module = Plain()
        module.net[0].requires_grad_(False)
        before = module.net[0].weight.clone()
        trained([QuantizationAwareTraining()], module)
        assert torch.equal(module.net[0]._parameters["weight"], before)

    def test_resumed_in_the_middle_it_ends_the_same(self, tmp_path):
        from lightning.pytorch.callbacks import ModelCheckpoint

        keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
        whole = trained([QuantizationAwareTraining(), keep], epochs=4, enable_checkpointing=True)
        checkpoint = next(tmp_path.glob("epoch=1*"))
        resumed = trained([QuantizationAwareTraining()], epochs=4, ckpt=str(checkpoint))
        assert equal(resumed.state_dict(), whole.state_dict())

    def test_distillation_pulls_towards_the_teacher(self):
        teacher = copy.deepcopy(trained([], epochs=20).net)
        with torch.no_grad():
            teacher[4].weight.neg_()  # it has learnt the contrary
        x = next(iter(loader(64)))[0]
        distances = []
        for alpha in (0.0, 1.0):
            module = trained([Distillation(teacher, alpha=alpha)], epochs=10)
            distances.append(distillation_loss(module.net(x), teacher(x)).item())
        assert distances[1] < distances[0]


class TestLearner:
    def test_the_simulated_network_is_what_is_judged_kept_and_loaded(self, make, tmp_path):
        learn = make("mlp")
        learn.fit(4)
        best = learn.history.best("val_accuracy", higher_is_better=True)["epoch"]
        assert learn.weights_epoch == best
        learn.fit(2, lr=1e-4, callbacks=["quantization_aware_training"])
        assert learn.weights_epoch == 6  # those of earlier epochs are of another network
        assert learn.evaluate()["loss"] == pytest.approx(learn.history["val_loss"][-1], rel=1e-6)
        again = Learner.load(learn.save(tmp_path / "saved"))
        x = learn.data.split("val").head(16)["x"]["image"].numpy()
        assert (again.predict(x).probabilities == learn.predict(x).probabilities).all()
        from_run = Learner.load(learn.run_dir)
        assert (from_run.predict(x).probabilities == learn.predict(x).probabilities).all()
        learn.fit(1)  # without the callback: the ranges stay, the weights learn on
        assert len(quantized_layers(learn.module)) == len(quantized_layers(again.module)) > 0

    @pytest.mark.parametrize("kind", [QuantizationAwareTraining, Pruning])
    def test_an_interrupt_in_the_first_epoch_leaves_the_network_that_there_was(self, make, capsys, kind):
        class Interrupt(pl.Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                raise KeyboardInterrupt

        learn = make("mlp", batch_size=32, verbose=True)
        learn.fit(2)
        before = {name: value.clone() for name, value in learn.module.state_dict().items()}
        capsys.readouterr()
        learn.fit(2, callbacks=[kind(), Interrupt()])
        assert learn.history.interrupted
        said = capsys.readouterr().out
        assert f"weights: epoch 2, the best val_accuracy ({learn.history['val_accuracy'][-1]:.4f})" in said
        assert "no validation data" not in said
        assert equal(learn.module.state_dict(), before)
        assert (len(learn.history), learn.weights_epoch) == (2, 2)
        callback = kind()
        learn.fit(2, callbacks=[callback])
        assert learn.weights_epoch == 4  # the last, since those before were of another network
        assert quantized_layers(learn.module) if kind is QuantizationAwareTraining else callback.pruned

    def test_a_killed_fit_is_resumed_to_the_bit(self, make, tmp_path):
        class Stop(pl.Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                if pl_module.epoch == 3:
                    raise RuntimeError("killed")

        def start(name):
            learn = make("mlp", name=name)
            learn.fit(1)
            return learn

        whole = start("whole")
        whole.fit(4, callbacks=[QuantizationAwareTraining()])
        cut = start("cut")
        with pytest.raises(RuntimeError, match="killed"):
            cut.fit(4, callbacks=[QuantizationAwareTraining(), Stop()])
        resumed = make("mlp", name="cut")
        resumed.fit(resume=cut.run_dir, callbacks=[QuantizationAwareTraining()])
        assert equal(resumed.module.state_dict(), whole.module.state_dict())
        assert resumed.history["val_loss"] == whole.history["val_loss"]

    def test_a_failed_fit_leaves_the_network_as_it_was(self, make):
        learn = make("mlp")
        before = copy.deepcopy(learn.module.state_dict())

        class Fail(pl.Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            learn.fit(1, callbacks=[QuantizationAwareTraining(), Fail()])
        assert equal(learn.module.state_dict(), before)
        assert not quantized_layers(learn.module)

    def test_one_distillation_serves_two_learners(self, make):
        callback = Distillation()
        make("mlp").fit(1, callbacks=[callback])
        learn = make("mlp/large")
        learn.fit(1, callbacks=[callback])
        alone = make("mlp/large")
        alone.fit(1, callbacks=[Distillation()])
        assert equal(learn.module.state_dict(), alone.module.state_dict())

    def test_a_teacher_stays_as_it_was_and_trains_on(self, make):
        teacher, student = make("mlp/large"), make("mlp")
        teacher.fit(1)
        student.distill(teacher, 1)
        assert all(p.requires_grad for p in teacher.module.parameters())
        assert len(teacher.fit(1)) == 1

    def test_a_teacher_that_does_not_fit(self, make):
        learn = make("mlp")
        with pytest.raises(ArgumentError, match=r"A teacher answers in the shape in which the student does\. .*10\) and .*7\) came"):
            learn.distill(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), 1)
        with pytest.raises(ArgumentError, match="A teacher is another network than the one that learns"):
            learn.distill(learn, 1)
        with pytest.raises(ArgumentError, match="alpha lies in 0 to 1"):
            learn.distill(make("mlp"), 1, alpha="much")

    def test_two_of_one_kind_are_refused_and_averaging_comes_last(self, make):
        learn = make("mlp", callbacks=EMAWeightAveraging(decay=0.9))
        learn.fit(1, callbacks=[QuantizationAwareTraining()])
        assert quantized_layers(learn.module)
        with pytest.raises(ArgumentError, match="A fit takes one Distillation. Several came"):
            make("mlp").fit(1, callbacks=[Distillation(), Distillation()])

    def test_a_quantized_learner_trains_on_quantized(self, make):
        learn = make("mlp", lr=1e-3)
        learn.fit(2)
        learn.quantize("weights", max_drop=100)
        if not quantized_layers(learn.module):  # on a busy machine it may have been timed as slower
            prepare(learn.module, inputs="float")
            learn.best_from = len(learn.history)
        learn.fit(1, lr=0.5)  # worse than any before
        assert quantized_layers(learn.module)
        assert quantized_layers(Learner.load(learn.run_dir).module)

    def test_an_interrupted_fit_leaves_the_last_whole_epoch(self, make):
        class Interrupt(pl.Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                if pl_module.epoch == 3:
                    raise KeyboardInterrupt

        learn = make("mlp")
        learn.fit(2)
        history = learn.fit(4, callbacks=[QuantizationAwareTraining(), Interrupt()])
        assert history.interrupted
        assert learn.evaluate()["loss"] == pytest.approx(learn.history["val_loss"][-1], rel=1e-6)
        again = Learner.load(learn.run_dir)
        assert equal(again.module.state_dict(), learn.module.state_dict())
        learn.fit(3, callbacks=[QuantizationAwareTraining()])
        assert len(learn.history) == 6

    def test_a_fit_that_ends_early_leaves_the_quantized_network_in_its_run(self, make, capsys):
        class Stop(pl.Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                trainer.should_stop = pl_module.epoch >= 3

        learn = make("mlp", verbose=True)
        learn.fit(3)
        learn.fit(5, lr=1e-4, callbacks=[QuantizationAwareTraining(), Stop()])
        assert "was better" not in capsys.readouterr().out
        again = Learner.load(learn.run_dir, report=False, verbose=False)
        assert quantized_layers(again.module)
        assert equal(again.module.state_dict(), learn.module.state_dict())

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it traces
    def test_compiled(self, make):
        learn = make("mlp", compile=True)
        learn.fit(2, callbacks=[QuantizationAwareTraining()])
        plain = make("mlp")
        plain.fit(2, callbacks=[QuantizationAwareTraining()])
        assert learn.history["val_loss"] == pytest.approx(plain.history["val_loss"], rel=1e-3)

    @pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
    def test_precisions(self, make, precision):
        learn = make("mlp", precision=precision)
        learn.fit(2, callbacks=[QuantizationAwareTraining()])
        assert learn.history["val_loss"][-1] < learn.history["val_loss"][0]


DDP = """
import json, sys, torch
torch.set_num_threads(1)
from fastgpu import Learner
from fastgpu.callbacks.quantization import QuantizationAwareTraining
from fastgpu.data import sources
train = sources.load("digits").splits["train"]
data = ((train.x[:208], train.y[:208]), (train.x[208:304], train.y[208:304]))
learn = Learner("mlp", data, out=sys.argv[1], batch_size=16, devices=2, strategy="ddp")
learn.fit(1)
learn.fit(2, callbacks=[QuantizationAwareTraining()])
import os
state = {k: v.double().sum().item() for k, v in learn.module.state_dict().items()}
json.dump(state, open(sys.argv[1] + os.environ.get("LOCAL_RANK", "0"), "w"))
"""


@pytest.mark.slow
def test_two_processes_keep_one_network(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(DDP)
    done = subprocess.run([sys.executable, script, str(tmp_path / "r")], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "r0").read_text() == (tmp_path / "r1").read_text()
