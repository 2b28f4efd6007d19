"""Checkpoints: one safetensors file with the weights under their own names and the rest as JSON in its header.

Layout, format 1:
- each entry of the network's state dict, under its own name: any reader of safetensors finds plain weights;
- tensors of the training state (the optimizer's moments, weights of the last epoch) as `training/<number>`;
- header `fastgpu`: JSON with `format`, `facts` (what rebuilds the learner), `training` (a tree whose tensors are
  named), `aliases` (tied weights, stored once); header `digest`: SHA-256 over all of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from fastgpu.errors import CheckpointError, RunFolderError
from fastgpu.saved_files import saved_file

__all__ = ["FORMAT", "LearnerCheckpointIO", "Saved", "holds_training", "read", "write"]

FORMAT = 1
NETWORK = "model.net."  # where the network's weights are in the LightningModule's state dict


class Saved(NamedTuple):
    """What a checkpoint holds."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]
    training: dict[str, Any] | None


def write(path: str | os.PathLike[str], weights: Mapping[str, Tensor], facts: dict[str, Any], training: Any = None) -> None:
    """Write a checkpoint in one step: a reader sees the old file or the new one, never half of one.

    Args:
        path: file to write; its folder is made.
        weights: the network's state dict.
        facts: plain data for JSON.
        training: nested dicts, lists and tensors, or None; what is neither plain data nor a tensor is left out.

    Raises:
        RunFolderError: the file cannot be written; nothing is left behind, an earlier file stays.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):  # which do not fail at a name that is too long
        raise RunFolderError(f"A checkpoint is written to a file. {path} is a folder or a device. Choose another path.")
    tensors, aliases = _untied(weights)
    tree = _encode(training, tensors, {t.untyped_storage().data_ptr() for t in tensors.values()})
    header = json.dumps({"format": FORMAT, "facts": facts, "training": tree, "aliases": aliases})
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()  # what the system says is clearer than what safetensors makes of it
        save_file(tensors, partial, metadata={"fastgpu": header, "digest": _digest(tensors, header)})
        partial.chmod(0o666 & ~_umask())  # safetensors' files are readable by their owner alone
        os.replace(partial, path)
    except Exception as error:  # safetensors reports a full disk as an error of its own
        raise RunFolderError(
            f"A checkpoint must be written to {path}. It could not be: {_reason(error)}. Free space or choose another folder."
        ) from None
    finally:  # whatever ended it, Ctrl-C too
        with contextlib.suppress(OSError):
            partial.unlink()


def read(path: str | os.PathLike[str], *, training: bool = True) -> Saved:
    """Read a checkpoint and prove it whole.

    Raises:
        CheckpointError: no such file, not one of FastGPU's, truncated, changed, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    path = saved_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"A saved learner must be a whole safetensors file. {path} is truncated or of another kind ({error}). Use another copy."
        ) from None
    if "fastgpu" not in metadata:
        raise CheckpointError(f"A saved learner carries FastGPU's header. {path} holds weights alone. Load them into learn.module with safetensors.")
    if _digest(tensors, metadata["fastgpu"]) != metadata.get("digest"):
        raise CheckpointError(f"A saved learner must be as it was written. {path} was changed since: its digest differs. Use another copy.")
    header = json.loads(metadata["fastgpu"])
    if header["format"] > FORMAT:
        raise CheckpointError(f"This FastGPU reads checkpoints up to format {FORMAT}. {path} has format {header['format']}. Update FastGPU.")
    weights = {name: t for name, t in tensors.items() if not name.startswith("training/")}
    weights |= {alias: weights[name] for alias, name in header["aliases"].items()}
    return Saved(weights, header["facts"], _decode(header["training"], tensors) if training else None)


def holds_training(path: str | os.PathLike[str]) -> bool:
    """Whether training can go on from a checkpoint; the header alone is read."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["fastgpu"])["training"] is not None


class LearnerCheckpointIO(CheckpointIO):
    """Lets Lightning save and resume through our format: its `ModelCheckpoint` files are then learners too.

    Args:
        keep: weights to train on from, instead of those in the file: the user changed them since.
    """

    def __init__(self, keep: dict[str, Tensor] | None = None) -> None:
        self.keep = keep

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        checkpoint = dict(checkpoint)
        state, facts = checkpoint.pop("state_dict"), checkpoint.pop("fastgpu", {})
        weights = {k[len(NETWORK) :]: v for k, v in state.items() if k.startswith(NETWORK)}
        checkpoint["rest"] = {k: v for k, v in state.items() if not k.startswith((NETWORK, "loss."))}
        write(path, weights, facts, checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        saved = read(path)
        if saved.training is None:
            raise CheckpointError(f"Training goes on from a checkpoint with its state. {path} holds weights alone.")
        checkpoint = dict(saved.training)
        weights = self.keep or checkpoint.pop("last_weights", None) or saved.weights
        checkpoint.pop("last_weights", None)
        checkpoint["state_dict"] = {**{NETWORK + k: v for k, v in weights.items()}, **checkpoint.pop("rest")}
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Why a file cannot be written, in the system's words."""
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        return "no space left"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "what should be its folder is a file"
    return getattr(error, "strerror", None) or str(error)


def _umask() -> int:
    mask = os.umask(0)  # there is no way to read it without setting it
    os.umask(mask)
    return mask


def _untied(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors to store, and names that share the storage of one of them (tied weights)."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in weights.items():
        tensor = tensor.detach()
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            aliases[name] = first[place]
            continue
        first[place] = name
        tensors[name] = tensor.cpu().contiguous()
    return tensors, aliases


def _digest(tensors: Mapping[str, Tensor], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encode(tree: Any, tensors: dict[str, Tensor], taken: set[int]) -> Any:
    """A tree as JSON: tensors by name, tuples and dicts with other keys than strings marked.

    `taken` are the pieces of memory that are stored already: safetensors stores each once.
    """
    if isinstance(tree, Tensor):
        name = f"training/{len(tensors)}"
        value = tree.detach().cpu().contiguous()
        tensors[name] = value.clone() if value.untyped_storage().data_ptr() in taken else value
        taken.add(tensors[name].untyped_storage().data_ptr())
        return {"tensor": name}
    if isinstance(tree, Mapping):
        items = [[_encode(k, tensors, taken), _encode(v, tensors, taken)] for k, v in tree.items() if _plain(v)]
        return {"dict": items}
    if isinstance(tree, (list, tuple)):
        return {type(tree).__name__ if type(tree) in (list, tuple) else "list": [_encode(v, tensors, taken) for v in tree if _plain(v)]}
    if isinstance(tree, (str, int, float, bool, type(None))):
        return tree
    return str(tree)


def _plain(value: Any) -> bool:
    return isinstance(value, (Tensor, Mapping, list, tuple, str, int, float, bool, type(None), os.PathLike))


def _decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    [(kind, value)] = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in value}
    values = [_decode(v, tensors) for v in value]
    return tuple(values) if kind == "tuple" else values
