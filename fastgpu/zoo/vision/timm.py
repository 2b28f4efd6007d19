"""Every classification architecture of timm (Wightman, https://github.com/huggingface/pytorch-image-models), by its own name.

A name may carry the tag of particular weights: `resnet18.a1_in1k`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgpu.errors import UnknownNameError
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.pretrained import fitting, weights_file
from fastgpu.zoo.vision import small_images

__all__: list[str] = []


def names() -> list[str]:
    """Names of timm's classification architectures, without tags; the few encoders that have no classifier are left out."""
    import timm

    return [name for name in timm.list_models() if (cfg := timm.get_pretrained_cfg(name)) is not None and cfg.classifier]


def entry(name: str) -> Entry:
    """Facts about an architecture, from timm's own table."""
    config = _config(name)
    return Entry(
        name=name,
        inputs=("image",),
        tasks=("classification", "multilabel", "regression"),
        source=" ".join(part for part in ("timm", config.paper_name or config.origin_url) if part),
        licence=config.license or "unknown",
        size=tuple(config.input_size[1:]),
        pretrained=bool(config.has_weights),
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build an architecture for pictures of `facts["size"]` with `facts["channels"]`; see `small_images` for the size."""
    config, channels, size, outputs = _config(name), facts["channels"], tuple(facts["size"]), target["outputs"]
    rebuilt = pretrained == "layout"
    weights, note = weights_file(name, False if rebuilt else pretrained, hub=config.hf_hub_id or "", url=config.url or "")
    # Trials draw no random numbers, so that a seed gives the same weights whatever was tried.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        plain = _create(name, channels, outputs)
        shape, steps = _shape(plain, config)

        def works(fit: small_images.Fit) -> bool:
            try:
                net = _create(name, channels, outputs, fit.size if fit.img_size else None)
            # Not every network can be built for every size, and each says so in its own way.
            except Exception:
                return False
            small_images.undo(net, steps[: fit.undo])
            return small_images.gives_scores(net, channels, fit.size, outputs)

        fit, resizing = small_images.choose(name, size, shape, weights is not None or rebuilt, works)
    net = _create(name, channels, outputs, fit.size if fit.img_size else None, weights)
    small_images.undo(net, steps[: fit.undo])
    return Built(
        net=net,
        declares=({"network_size": fit.size} if fit.size != size else {})
        | ({"mean": _per_channel(config.mean, channels), "std": _per_channel(config.std, channels)} if weights else {}),
        pretrained=weights is not None,
        head=_head(net, config.classifier),
        notes=tuple(n for n in (note, resizing) if n),
    )


def _config(name: str) -> Any:
    import timm

    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        architecture, _, _ = name.partition(".")
        raise UnknownNameError("weights", name, timm.list_pretrained(f"{architecture}.*")) from None


def _create(
    name: str, channels: int, outputs: int, img_size: tuple[int, int] | None = None, weights: Path | None = None
) -> nn.Module:
    import timm

    options: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    if weights is not None:
        # Loaded from the file, not by the hub's client: that would ask the network again.
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
    with fitting(name, weights):
        return timm.create_model(name, pretrained=weights is not None, in_chans=channels, num_classes=outputs, **options)


def _shape(net: nn.Module, config: Any) -> tuple[small_images.Shape, list[tuple[str, ...]]]:
    first: str | list[str] | tuple[str, ...] | None = config.first_conv
    steps = small_images.stem_steps(net, (first,) if isinstance(first, str) else tuple(first or ()))
    # A network that does not say how far it shrinks a picture is taken to halve it five times, as most do.
    reductions = [level["reduction"] for level in getattr(net, "feature_info", None) or [{"reduction": 32}]]
    shape = small_images.Shape(
        own=tuple(config.input_size[1:]),
        reduction=max(reductions),
        even=len(set(reductions)) == 1 and len(reductions) > 1,
        fixed=bool(config.fixed_input_size),
        steps=len(steps),
    )
    return shape, steps


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    # timm spreads the trained first layer over other channels; their statistics are then the average.
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def _head(net: nn.Module, classifier: str | tuple[str, ...] | None) -> tuple[str, ...]:
    names = (classifier,) if isinstance(classifier, str) else classifier or ()
    known = dict(net.named_modules())
    return tuple(name for name in names if name in known)


FAMILIES.register("timm")(Family(names=names, entry=entry, build=build))
