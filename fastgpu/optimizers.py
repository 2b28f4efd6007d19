"""Optimizers: torch's own classes by their own names, and every optimizer of torch and timm by a lower-case name.

    optimizer = fastgpu.optimizers.Adam(model.parameters(), lr=1e-3)
    optimizer = fastgpu.optimizers.create("lion", model.parameters(), lr=1e-4)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from fastgpu.errors import ArgumentError, UnknownKeywordError, UnknownNameError, nearest
from fastgpu.optional import available

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "by_name",
    "create",
    "default_lr",
    "names",
]

Maker = Callable[..., Optimizer]

_TORCH: dict[str, type[Optimizer]] = {
    c.__name__.lower(): c for c in (ASGD, LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, NAdam, RAdam, RMSprop, Rprop)
}

_LEARNING_RATES: dict[str, float] = {
    "sgd": 0.05,
    "momentum": 0.05,
    "nesterov": 0.05,
    "sgdw": 0.05,
    "nesterovw": 0.05,
    "sgdp": 0.05,
    "sgdc": 0.05,
    "rmsprop": 1e-3,
    "nadam": 1e-3,
    "lion": 1e-4,
    "lionc": 1e-4,
    "lamb": 5e-3,
}
"""Where the class's own default learning rate is not one to train a network with."""

# On CUDA the fused Adagrad came later than the others.
_FUSED: dict[type, tuple[str, ...]] = {Adam: ("cpu", "cuda"), AdamW: ("cpu", "cuda"), SGD: ("cpu", "cuda"), Adagrad: ("cpu",)}


@cache
def names() -> tuple[str, ...]:
    """The names that `by_name` knows: torch's classes and timm's optimizers, in lower case, sorted."""
    timm = _timm()
    # timm lists wrappers of packages that it does not bring, and optimizers that need second derivatives.
    absent = tuple(prefix for prefix, package in (("bnb", "bitsandbytes"), ("fused", "apex")) if not available(package))
    usable = (
        name
        for name in timm.list_optimizers()
        if not name.startswith(absent) and not timm.get_optimizer_info(name).second_order
    )
    return tuple(sorted({*_TORCH, *usable}))


def by_name(name: str) -> Maker:
    """The optimizer of that name.

    Args:
        name: one of `names()`; capitals do not matter.

    Returns:
        A callable that takes the parameters and options. It is torch's class where torch has one; timm's, with the
        settings that its name stands for, otherwise.

    Raises:
        UnknownNameError: there is none of that name.

    Example:
        >>> by_name("adamw") is AdamW
        True
    """
    key = name.lower()
    if key in _TORCH:
        return _TORCH[key]
    if key not in names():
        raise UnknownNameError("optimizer", name, names(), hint="A class of torch.optim goes here too.")
    return _timm().get_optimizer_class(key)


def default_lr(optimizer: str | Maker) -> float:
    """The learning rate, per step, that `lr="auto"` stands for.

    Example:
        >>> default_lr("adam"), default_lr("sgd")
        (0.001, 0.05)
    """
    maker = by_name(optimizer) if isinstance(optimizer, str) else optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else getattr(maker, "__name__", "").lower()
    if name in _LEARNING_RATES:
        return _LEARNING_RATES[name]
    own = _parameters(maker).get("lr")
    return float(own.default) if own is not None and isinstance(own.default, (int, float)) else 1e-3


def create(
    optimizer: str | Maker,
    params: Iterable[Any],
    *,
    lr: float | None = None,
    weight_decay: float | None = None,
    **options: Any,
) -> Optimizer:
    """An optimizer over `params`.

    SGD by name has momentum 0.9 and Nesterov's step unless `options` say otherwise. The fused kernels are used where
    torch has them for the parameters; `fused=False` forbids it.

    Args:
        optimizer: a name of `names()`, a class of torch.optim or alike, or a function of the parameters.
        params: parameters, or groups of them as dicts, as torch.optim takes them.
        lr: learning rate per step; None: `default_lr(optimizer)`.
        weight_decay: None: the optimizer's own default.
        options: further arguments of the optimizer.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        UnknownKeywordError: the optimizer does not take an option.
        ArgumentError: a value is out of range, or `optimizer` is not one.

    Example:
        >>> create("sgd", [torch.nn.Parameter(torch.zeros(2))], lr=0.1).defaults["momentum"]
        0.9
    """
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise ArgumentError(
            f"optimizer must be a name, a class of torch.optim or a function of the parameters. Got {type(optimizer).__name__}."
        )
    maker = by_name(optimizer) if isinstance(optimizer, str) else optimizer
    taken = _parameters(maker)
    chosen = dict(options)
    if weight_decay is not None:
        chosen["weight_decay"] = weight_decay
    if lr is not None:
        chosen["lr"] = lr
    elif "lr" in taken:
        chosen["lr"] = default_lr(optimizer)
    _check_options(maker, taken, chosen)
    if isinstance(optimizer, str) and "momentum" in taken and _wants_momentum(optimizer):
        chosen = {"momentum": 0.9} | chosen
        if maker is SGD:
            # Nesterov's step is defined only with momentum and without dampening.
            chosen = {"nesterov": chosen["momentum"] > 0 and not chosen.get("dampening")} | chosen
    params = list(params)
    if "fused" not in chosen and not {"foreach", "differentiable", "capturable"} & chosen.keys() and _can_fuse(maker, params):
        chosen["fused"] = True
    try:
        made = maker(params, **chosen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"The optimizer {_title(maker)} cannot be made. {error}") from error
    if not isinstance(made, Optimizer):
        raise ArgumentError(f"optimizer must give a torch optimizer. {_title(maker)} gave {type(made).__name__}.")
    return made


def _timm() -> Any:
    import timm.optim  # imported here: timm takes a second

    return timm.optim


def _parameters(maker: Maker) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(maker).parameters)


def _title(maker: Maker) -> str:
    return getattr(maker, "__name__", None) or getattr(getattr(maker, "func", None), "__name__", "given")


def _check_options(maker: Maker, taken: dict[str, inspect.Parameter], chosen: dict[str, Any]) -> None:
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return
    options = list(taken)[1:]  # the first one is the parameters
    for name in chosen:
        if name not in options:
            near = nearest(name, options)
            advice = f"Did you mean {' or '.join(near)}?" if near else f"It takes: {', '.join(options) or 'nothing'}."
            raise UnknownKeywordError(f"The optimizer {_title(maker)} has no option {name!r}. {advice}")


def _wants_momentum(name: str) -> bool:
    """Whether the name stands for descent with momentum, whose class starts without."""
    return name.lower() == "sgd" or (name.lower() not in _TORCH and _timm_momentum(name.lower()))


def _timm_momentum(name: str) -> bool:
    timm = _timm()
    signature = inspect.signature(timm.get_optimizer_class(name, bind_defaults=False))
    return timm.get_optimizer_info(name).has_momentum and signature.parameters["momentum"].default == 0


def _can_fuse(maker: Maker, params: list[Any]) -> bool:
    devices = _FUSED.get(maker, ()) if isinstance(maker, type) else ()
    flat = [p for group in params for p in (group["params"] if isinstance(group, dict) else [group])]
    return bool(devices) and all(isinstance(p, torch.Tensor) and p.is_floating_point() and p.device.type in devices for p in flat)
