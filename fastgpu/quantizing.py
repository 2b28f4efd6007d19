"""Quantizing a trained network without training it: ranges from data, several placements measured, the best that pays is kept."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fastgpu.compress.budget import check_max_drop, drop
from fastgpu.compress.measure import macs, parameters
from fastgpu.compress.quantize import calibrate, prepare, quantizable, quantized_layers
from fastgpu.compress.report import CompressionReport
from fastgpu.compress.restore import load_weights
from fastgpu.data.loaders import like, split_steps
from fastgpu.errors import ArgumentError, DataError, ExportError, UnknownNameError
from fastgpu.export.base import Source
from fastgpu.export.cuda import refuse_missing
from fastgpu.exportable import make_source, samples_of
from fastgpu.judging import evaluate, open_raw
from fastgpu.optional import require
from fastgpu.quantizing_places import CPU, CUDA, PLACES, PRECISIONS, Place, int8_model, place_of, stored_model
from fastgpu.shrinking import BATCHES, example_of

if TYPE_CHECKING:
    from fastgpu.data.loaders import Batch
    from fastgpu.data.split import Split
    from fastgpu.learner import Learner

__all__ = ["PLACEMENTS", "agreed", "batches_of", "graph_facts", "int8_model", "int8_sources", "placements", "run_quantize", "share_of_weights"]

ITEMS = 512
"""Items from which ranges are taken."""

FEW_ROWS = "Whole numbers on a GPU need linear layers that see more than 16 rows of any one item. This network has none."

FASTER = 0.97
"""Share of a time below which another one is seen to be shorter."""

NOISE = 1.05
"""A file with whole weights and inputs of floats may take this share of the floats' time: it is made to be small, not fast."""

PLACEMENTS = ("all", "inner", "pointwise")
"""Which layers compute with whole numbers: all; all but the first and the last; convolutions of 1x1 and linear layers."""


def run_quantize(
    learner: Learner, mode: str, data: Any, max_drop: float, candidates: str | Sequence[str], device: str | None
) -> CompressionReport:
    """Try the placements, and keep the best that holds the budget; see `Learner.quantize`."""
    place = _place(mode, device)
    check_max_drop(max_drop)
    net = learner.module
    if quantized_layers(net):
        raise ArgumentError("quantize takes a network that computes with floats. This one is quantized. Load the learner from before.")
    inputs = place.modes[mode]
    tried = placements(net, candidates) if inputs == "range" else _whole_weights(net, mode, inputs, place.target, candidates)
    batches = list(batches_of(learner, _split(learner, data))) if inputs == "range" else []
    _refuse_alike(batches)
    key, higher = learner.task_module().monitor
    key = key.removeprefix("val_")
    report = CompressionReport(f"{learner.architecture} on {learner.data.name}, {mode}, timed {place.clocked}")
    source = make_source(learner, samples_of(learner), 0.0)
    tried = {step: place.layers(source, layers, inputs) for step, layers in tried.items()}
    if not any(tried.values()):
        raise ArgumentError(FEW_ROWS + " Take mode='weights' or mode='fp8'.")
    before, saved = evaluate(learner)[key], copy.deepcopy(net.state_dict())
    models = {"as it came": place.ready(source)}
    report.add("as it came", **{key: before})
    states: dict[str, Mapping[str, Tensor]] = {}
    if inputs == "range":
        tried = _called(net, tried, partial(_call, learner, batches))
    try:
        for step, layers in tried.items():
            prepare(net, inputs=inputs, target=place.target, only=layers)
            if inputs == "range":
                calibrate(net, partial(_call, learner, batches))
            models[step] = place.ready(place.rounded(learner, batches, source, models["as it came"]))
            report.add(step, **{key: evaluate(learner)[key]})
            report.note(f"{step}: {share_of_weights(net)}")
            states[step] = copy.deepcopy(net.state_dict())
            load_weights(net, saved)
    finally:
        load_weights(net, saved)
    same = {"parameters": parameters(net), "macs": macs(net, example_of(learner))}
    for step, facts in zip(report.steps, agreed(learner, graph_facts(list(models.values()), source.example, place))):
        step |= same | facts
    chosen = _choose(report, key, higher, max_drop, inputs)
    if chosen is not None:
        load_weights(net, states[chosen])
        learner.remember_weights()
        learner.best_from = len(learner.history)  # what comes is not compared with the network of floats
    learner.say(str(report))
    return report


def agreed(learner: Learner, found: Any) -> Any:
    """What the first of several processes found: clocks differ, and all must choose the same network."""
    return found if learner.trainer is None else learner.trainer.strategy.broadcast(found)


def int8_sources(learner: Learner, samples: Sequence[Batch], floats: Source, *, forced: bool) -> Iterator[Source]:
    """A quantized network as sources of files of whole numbers, the best first; what is slower here is left out, with a word.

    First all that is quantized computes with whole numbers. Then, on processors, weights alone are stored so: such a file is as small, and
    as fast as floats.

    Args:
        samples: what `samples_of` gave.
        floats: the source with rounded weights.
        forced: whether the first is wanted, however slow, and no other.
    """
    place, inputs = place_of(learner), str(next(iter(quantized_layers(learner.module).values())).inputs)
    source = make_source(learner, samples, floats.manifest["tolerance"], snap=False)
    plain = place.ready(source)
    if place is CUDA or inputs != "float":  # else there is nothing but what is stored
        whole = _whole(learner, source, plain, floats.manifest["precision"], inputs, forced=forced)
        if whole is not None:
            yield whole.stating(**{**floats.manifest, "precision": PRECISIONS[inputs]})
        if forced:
            return
    if place is CPU:
        stored = dataclasses.replace(source, model=stored_model(learner, plain))
        yield stored.stating(**{**floats.manifest, "precision": PRECISIONS["float"]})


def _whole(learner: Learner, source: Source, plain: Any, usual: str, inputs: str, *, forced: bool) -> Source | None:
    """A source that computes with whole numbers; None, and a word, where it cannot be made, or is slower."""
    place = place_of(learner)
    try:
        whole = place.rounded(learner, list(batches_of(learner, learner.data.split("train"))) if inputs == "range" else [], source, plain)
        if place is CUDA and not whole.rounded:
            if forced:
                raise ArgumentError(FEW_ROWS + " Leave int8=True out.")
            learner.say(f"export: {FEW_ROWS} The file holds {usual}")
            return None
        return whole if forced or _is_fast(learner, source, plain, whole, usual, inputs) else None
    except ExportError as error:
        if forced:
            raise
        learner.say(f"export: {PRECISIONS[inputs]} is left out: {error}")
        return None


def _is_fast(learner: Learner, source: Source, plain: Any, whole: Source, usual: str, inputs: str) -> bool:
    """Whether a source of whole numbers pays against one of floats, here; says so where not."""
    place = place_of(learner)
    before, after = (each.median for each in place.latencies([plain, place.ready(whole)], source.example, 1))
    if not _pays(before, after, inputs):
        learner.say(f"export: {PRECISIONS[inputs]} takes {after / before:.2f} of {usual}'s time here and is left out; int8=True insists")
    return _pays(before, after, inputs)


def _place(mode: str, device: str | None) -> Place:
    """Where a mode runs, refused where it cannot.

    Raises:
        UnknownNameError: there is no such device, or no such mode there.
        DeviceError: there is no CUDA device, or none that can.
    """
    if device is None:
        device = "cuda" if mode == "fp8" else "cpu"
    device = "cuda" if device == "gpu" else device
    if device not in PLACES:
        raise UnknownNameError("device of quantization", str(device), PLACES)
    if mode not in PLACES[device].modes:
        raise UnknownNameError(f"mode of quantization for {device}", str(mode), PLACES[device].modes)
    if device == "cuda":
        require("torchao", need="Whole numbers on a GPU")
        refuse_missing(fp8=mode == "fp8")
    return PLACES[device]


def _split(learner: Learner, data: Any) -> Split:
    if data is None:
        return learner.data.split("train")
    opened = open_raw(learner, data)
    split = opened.split(next(name for name in ("train", "val", "test") if name in opened.splits))
    if not len(split):
        raise DataError("Calibration needs items. None came. Give some hundred like those of training.")
    return split


def placements(net: nn.Module, candidates: str | Sequence[str]) -> dict[str, list[str]]:
    """Name of a step -> the layers of its placement; those that are no different from an earlier one are left out."""
    if not isinstance(candidates, (str, list, tuple)) or not candidates:
        raise ArgumentError(f"candidates are 'auto', or some of {', '.join(PLACEMENTS)}. {candidates!r} came. Leave it out for all of them.")
    wanted = PLACEMENTS if candidates == "auto" else [candidates] if isinstance(candidates, str) else candidates
    layers, found = quantizable(net), dict[str, list[str]]()
    if not layers:
        prepare(net)  # says what is missing
    for name in wanted:
        if name not in PLACEMENTS:
            raise UnknownNameError("placement", str(name), PLACEMENTS)
        chosen = {"all": layers, "inner": layers[1:-1], "pointwise": [n for n in layers if _pointwise(net.get_submodule(n))]}[name]
        if chosen and chosen not in found.values():
            found[f"int8: {name}"] = chosen
    return found


def _whole_weights(net: nn.Module, mode: str, inputs: str, target: str, candidates: str | Sequence[str]) -> dict[str, list[str]]:
    """The one step of a mode without ranges -> its layers."""
    if candidates != "auto":
        raise ArgumentError(f"candidates are placements of mode='int8' for the cpu. mode={mode!r} came with them. Leave candidates out.")
    layers = [name for name in quantizable(net, target) if inputs == "float" or isinstance(net.get_submodule(name), nn.Linear)]
    if mode == "dynamic" and not layers:
        raise ArgumentError("mode='dynamic' takes networks with linear layers. This one has none. Take mode='int8' or mode='weights'.")
    if not layers:
        prepare(net, target=target)  # says what is missing
    return {mode: layers}


def _called(net: nn.Module, tried: Mapping[str, Sequence[str]], run: Callable[[], Any]) -> dict[str, list[str]]:
    """The placements without the layers that a network has and does not use."""
    seen: set[str] = set()
    hooks = [net.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: seen.add(name)) for name in quantizable(net)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return {step: called for step, layers in tried.items() if (called := [name for name in layers if name in seen])}


def _refuse_alike(batches: Sequence[Mapping[str, Any]]) -> None:
    """Refuse items of calibration that are all the same.

    Raises:
        DataError: they are.
    """
    first = {name: value[0] for name, value in batches[0].items() if isinstance(value, Tensor)} if batches else {}
    alike = all(batch[name].shape[1:] == one.shape and bool((batch[name] == one).all()) for batch in batches for name, one in first.items())
    items = sum(len(next(iter(batch.values()))) for batch in batches)
    if first and alike and items > 1:
        raise DataError(f"Calibration needs items that differ. All {items} are the same. Give some hundred like those of training.")


def _pointwise(layer: Any) -> bool:
    return isinstance(layer, nn.Linear) or all(side == 1 for side in layer.kernel_size)


def batches_of(learner: Learner, split: Split) -> Iterator[dict[str, Any]]:
    """The `x` of batches drawn at random, `ITEMS` items in all."""
    seen = 0
    for batch in split.loader(min(32, learner.data.batch_size), shuffle=True, seed=learner.settings.seed, epoch=lambda: 0, rank=0, world=1):
        for x, _ in split_steps(batch["x"], {}, batch["sizes"]):
            yield x
            seen += len(next(iter(x.values())))
            if seen >= ITEMS:
                return
    if not seen:
        raise DataError("Calibration needs items. None came. Give some hundred like those of training.")


def _call(learner: Learner, batches: Sequence[Mapping[str, Any]]) -> None:
    module = learner.task_module().eval()
    weight = next(learner.module.parameters())
    preparation = module.preparation.to(weight.device)
    with torch.no_grad():
        for x in batches:
            given = like(preparation({k: v.to(weight.device) if isinstance(v, Tensor) else v for k, v in x.items()}), weight)
            found, detect = module.model(given), getattr(module.model, "detect", None)
            if detect is not None:  # where detectors of two steps take their second one
                detect(given, found)


def graph_facts(models: Sequence[Any], example: Mapping[str, Tensor], place: Place = CPU) -> list[dict[str, Any]]:
    """For a report: size of what `place.ready` made, and its time for batches of 1 and of 32, in turns."""
    facts: list[dict[str, Any]] = [{"size_kb": place.size_kb(model)} for model in models]
    for items in BATCHES:
        for each, found in zip(facts, place.latencies(models, example, items)):
            each |= {f"latency_{items}_ms": found.median, f"spread_{items}_ms": found.spread, "threads": found.threads}
    return facts


def _pays(before_ms: float, after_ms: float, inputs: str) -> bool:
    return after_ms <= (NOISE if inputs == "float" else FASTER) * before_ms


def _choose(report: CompressionReport, key: str, higher: bool, max_drop: float, inputs: str) -> str | None:
    """Name of the best step that is within the budget and pays; says what speaks against the others."""
    first, best = report.steps[0], None
    for step in report.steps[1:]:
        lost = drop(first[key], step[key], higher)
        if not lost <= max_drop:
            report.note(f"{step['step']}: refused, {key} drops by {lost:.2f} points, more than {max_drop:g}")
        elif not _pays(first["latency_1_ms"], step["latency_1_ms"], inputs):
            report.note(f"{step['step']}: refused, it is {'slower' if inputs == 'float' else 'not faster'} for one item than what it would replace")
        elif best is None or _cost(step) < _cost(best):
            best = step
    report.note(f"kept: {best['step']}" if best else "kept: the network as it came; nothing else is within the budget and worth it")
    return best["step"] if best else None


def share_of_weights(net: nn.Module) -> str:
    """How much of a quantized network is whole numbers, and what is not: for a report.

    Example:
        >>> net = nn.ModuleDict({"words": nn.Embedding(9, 16), "out": nn.Linear(16, 4)})
        >>> _ = prepare(net)
        >>> share_of_weights(net)
        '1 layer, 31% of the weights; in floats: words (Embedding)'
    """
    layers = quantized_layers(net)
    weights = {name: sum(p.numel() for p in part.parameters(recurse=False) if p.ndim > 1) for name, part in net.named_modules()}
    left = [f"{name or 'the network'} ({type(net.get_submodule(name)).__name__})" for name, n in weights.items() if n and name not in layers]
    share = sum(weights[name] for name in layers) / max(1, sum(weights.values()))
    said = f"{len(layers)} layer{'s' * (len(layers) > 1)}, {share:.0%} of the weights"
    return f"{said}; in floats: {', '.join(left[:5])}{f' and {len(left) - 5} others' * (len(left) > 5)}" if left else said


def _cost(step: Mapping[str, Any]) -> float:
    # Placements often hardly differ in time, and by twice in size.
    return step["latency_1_ms"] * step["size_kb"]
