"""Names of a network's parts, as a user gives them."""

from __future__ import annotations

from typing import Any

from torch import nn

from fastgpu.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["check_ignored", "ignored_names", "unknown_part"]


def ignored_names(ignore: Any) -> tuple[str, ...]:
    """`ignore` as a tuple of names; None is none.

    Raises:
        ArgumentError: these are no names.
    """
    if ignore is None:
        return ()
    if not isinstance(ignore, (str, list, tuple, set, frozenset)):
        raise ArgumentError(f"ignore is the name of a module, or several. {ignore!r} came. Give for example ignore=('head',).")
    return (ignore,) if isinstance(ignore, str) else tuple(ignore)


def check_ignored(net: nn.Module, ignore: Any) -> tuple[str, ...]:
    """Names of modules to leave as they are.

    Raises:
        ArgumentError: these are no names.
        UnknownNameError: the network has no such module; the nearest names are in the message.
    """
    names = ignored_names(ignore)
    known = {name for name, _ in net.named_modules() if name}
    for name in names:
        if name not in known:
            raise unknown_part("module in ignore", name, net)
    return names


def unknown_part(kind: str, name: object, net: nn.Module) -> UnknownNameError:
    """The error for a name that no part of a network has.

    The nearest names are looked for among whole names, then among last words: `"hed"` is like that of `"net.head"`.

    Args:
        kind: what the name should have named.
        name: the name that came.
        net: the network.
    """
    known = [each for each, _ in net.named_modules() if each]
    hint = ""
    if not nearest(name, known) and len(known) > 12:  # a short list is shown whole
        words = {each.rpartition(".")[2]: each for each in reversed(known)}  # the outermost of a word comes last, and stays
        near = [words[word] for word in nearest(name, words)]
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Its parts: {', '.join(key for key, _ in net.named_children())}."
    return UnknownNameError(kind, name, known, hint)
