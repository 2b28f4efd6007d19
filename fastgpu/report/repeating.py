"""How a run is repeated: a line for a shell, and lines of Python."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from fastgpu.config import Settings, has_object, plain, several

__all__ = ["FitCall", "python_lines", "recorded", "shell_line", "unnamed"]

P = ParamSpec("P")
R = TypeVar("R")

UNSAID = ("out", "verbose", "name", "report")
"""Settings that say where a run goes and what is told of it, not what it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitCall:
    """One call of a verb that trains or changes the network.

    Args:
        verb: `"fit"`, `"fine_tune"` and others.
        arguments: keyword -> value, those that differ from the defaults; objects as `config.plain` gives them.
        before: epochs that the history had before it.
    """

    verb: str
    arguments: Mapping[str, Any]
    before: int = 0


def recorded(verb: Callable[P, R]) -> Callable[P, R]:
    """Decorator for a learner's verb: the call is kept in `learner.calls`, unless it fails or another verb made it.

    One that fails after an epoch leaves a network that no lines repeat; `learner.unrepeatable` then says so.
    """
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def keeping(*args: P.args, **kwargs: P.kwargs) -> R:
        learner: Any = args[0]
        if learner.calling:
            return verb(*args, **kwargs)
        given = dict(list(signature.bind(*args, **kwargs).arguments.items())[1:])
        given |= given.pop("options", {})
        parameters = signature.parameters
        # As plain data: an array would be compared with the default value by value.
        said = {k: plain(v) for k, v in given.items() if k not in parameters or plain(v) != plain(parameters[k].default)}
        before, epochs = list(learner.calls), len(learner.history)
        learner.calls.append(FitCall(verb=verb.__name__, arguments=said, before=epochs))
        learner.calling = True
        try:
            return verb(*args, **kwargs)
        except BaseException:
            learner.calls[:] = before
            if len(learner.history) > epochs:
                learner.unrepeatable = f"{verb.__name__} failed after epoch {len(learner.history)}"
            raise
        finally:
            learner.calling = False

    return keeping


def _changed(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a learner was made with, the settings that differ from their defaults."""
    defaults = {**Settings().plain(), "callbacks": [], "logger": []}
    names = [name for name in defaults if name in arguments and name not in UNSAID]
    return {name: arguments[name] for name in names if arguments[name] != defaults[name]}


def unnamed(arguments: Mapping[str, Any], calls: Sequence[FitCall]) -> list[str]:
    """Names of the arguments that are objects of the user's own."""
    every = {**arguments, **{name: value for each in calls for name, value in each.arguments.items()}}
    return [name for name, value in every.items() if has_object(value)]


def python_lines(arguments: Mapping[str, Any], calls: Sequence[FitCall]) -> str:
    """The lines that make such a learner and train it alike; an object of the user's own stands by its name."""
    given = [_python(arguments["architecture"]), _python(arguments["data"])]
    given += [f"{name}={_python(value)}" for name, value in _changed(arguments).items()]
    lines = ["from fastgpu import Learner", "", f"learn = Learner({', '.join(given)})"]
    return "\n".join([*lines, *(f"learn.{_call(each)}" for each in calls)])


def _call(each: FitCall) -> str:
    """A call as Python: `fit(epochs=5, lr=0.01)`."""
    return f"{each.verb}({', '.join(f'{name}={_python(value)}' for name, value in each.arguments.items())})"


def shell_line(arguments: Mapping[str, Any], calls: Sequence[FitCall]) -> str:
    """The command that does the same; empty where a shell cannot: several calls, other verbs, objects of the user's own."""
    if len(calls) != 1 or calls[0].verb != "fit" or unnamed(arguments, calls):
        return ""
    words = ["fastgpu", "fit", str(arguments["architecture"]), str(arguments["data"])]
    settings, asked = _changed(arguments), dict(calls[0].arguments)
    callbacks = [*several(settings.get("callbacks")), *several(asked.get("callbacks"))]  # a fit's own join the learner's
    for name, value in {**settings, **asked, **({"callbacks": callbacks} if callbacks else {})}.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool) and isinstance(getattr(Settings(), name, None), bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, _shell(value)]
    return shlex.join(words)


def _shell(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shell(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return ",".join(map(_shell, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _python(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"object"}:
        return str(value["object"])
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_python(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_python, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
