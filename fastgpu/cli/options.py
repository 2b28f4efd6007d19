"""Options of a command, made from the signature and docstring of the Learner, or of a callback.

The source is parsed, not imported: `--help` then needs no torch, and no keyword is listed twice.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

import fastgpu
from fastgpu.errors import ArgumentError
from fastgpu.saved_files import saved_file

__all__ = ["INTERRUPTED", "Keyword", "check_out", "given", "keywords", "model_argument", "noted_interrupts", "options", "shrinking"]

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keyword:
    """A keyword of a method of the Learner.

    Args:
        name: its name in Python.
        kinds: names of the types in its annotation: `{"int", "None"}`.
        default: its default.
        words: what the docstring says about it.
    """

    name: str
    kinds: frozenset[str]
    default: Any
    words: str

    @property
    def option(self) -> str:
        """Its name in a shell: `--batch-size`."""
        return "--" + self.name.replace("_", "-")


@functools.cache
def keywords(method: str, file: str = "learner.py", kind: str = "Learner") -> dict[str, Keyword]:
    """Keywords of a method of a class that have a default, by name.

    Args:
        method: a method, `"__init__"` for the keywords of the class.
        file: where the class is, below the package's folder.
        kind: the class.
    """
    tree = ast.parse((Path(fastgpu.__file__).parent / file).read_text(encoding="utf-8"))
    learner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind)
    function = next(node for node in learner.body if isinstance(node, ast.FunctionDef) and node.name == method)
    words = _arguments(ast.get_docstring(learner if method == "__init__" else function) or "")
    arguments = function.args
    ordinary = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = [*zip(ordinary, arguments.defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return {
        argument.arg: Keyword(
            name=argument.arg,
            kinds=frozenset(_kinds(argument.annotation)),
            default=ast.literal_eval(default),
            words=words.get(argument.arg, ""),
        )
        for argument, default in pairs
        if default is not None
    }


def shrinking(verb: str) -> dict[str, Keyword]:
    """Keywords of a verb that compresses or exports."""
    return keywords(verb, "shrink_verbs.py", "ShrinkVerbs")


def options(found: Iterable[Keyword]) -> Callable[[F], F]:
    """Decorator: an option for each keyword."""

    def add(command: F) -> F:
        for keyword in reversed(list(found)):
            command = _option(keyword)(command)
        return command

    return add


def model_argument(*, exported: bool = False) -> Callable[[F], F]:
    """Decorator: the argument MODEL, a saved learner that is there; seen before torch is loaded.

    Args:
        exported: whether it may be an exported file, too.
    """

    def there(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
        if not (exported and value.endswith(".onnx")):
            saved_file(value)
        return value

    return click.argument("model", callback=there)


def given(ctx: click.Context) -> dict[str, Any]:
    """The parameters that stand on the command line, by name."""
    line = click.core.ParameterSource.COMMANDLINE
    return {name: value for name, value in ctx.params.items() if ctx.get_parameter_source(name) is line}


@contextlib.contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """A list that grows with each Ctrl-C within: the verb answers it by itself, and ends as usual."""
    came: list[int] = []
    heard = signal.getsignal(signal.SIGINT)
    if not callable(heard) or threading.current_thread() is not threading.main_thread():
        yield came
        return

    def hear(signum: int, frame: Any) -> None:
        came.append(signum)
        heard(signum, frame)

    signal.signal(signal.SIGINT, hear)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, heard)


def check_out(out: Path, *, new: bool = False) -> None:
    """See before the work that a file can be written after it, in folders that are made then.

    Args:
        out: the file.
        new: whether no such file may be there yet.

    Raises:
        ArgumentError: it cannot be written, or is there.
    """
    try:
        there = out.exists()
        if there and new:
            raise ArgumentError(f"--out must be a new file. {out} is there already. Choose another name, or delete it.")
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if above != out.absolute().parent:
            with tempfile.TemporaryFile(dir=above):
                return
        out.open("ab").close()
        if not there:
            out.unlink()
    except OSError as error:
        raise ArgumentError(f"--out must be a file that can be written. {out}: {error.strerror}. Choose another place.") from None


def _option(keyword: Keyword) -> Callable[[F], F]:
    words = keyword.words.replace("`", "").replace('"', "").rstrip(".") + "."
    if keyword.kinds == {"bool"}:
        both = f"{keyword.option}/--no-{keyword.option[2:]}"
        return click.option(both, keyword.name, default=keyword.default, help=words, show_default=True)
    default = "" if keyword.default in (None, ()) else f" Default: {str(keyword.default).lower()}."
    return click.option(keyword.option, keyword.name, type=_Value(keyword), help=words + default)


class _Value(click.ParamType):
    """Text from a shell -> the value that the keyword takes in Python."""

    def __init__(self, keyword: Keyword) -> None:
        self.keyword = keyword
        numbers = keyword.kinds & {"int", "float"} and not keyword.kinds & {"str", "Any"}
        self.name = "number" if numbers else "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        kinds = self.keyword.kinds
        if kinds & {"Any", "dict"} and value.startswith(("{", "[")):
            return self._structure(value, param, ctx)
        if "dict" in kinds and "=" in value:
            pairs = (part.partition("=") for part in value.split(","))
            return {name.strip(): column.strip() for name, _, column in pairs}
        if "," in value and kinds & {"Any", "Sequence", "tuple"}:
            return [self._one(part.strip(), param, ctx) for part in value.split(",") if part.strip()]
        return self._one(value, param, ctx)

    def _one(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        kinds, word = self.keyword.kinds, text.lower()
        if word == "none" and kinds & {"None", "Any"}:
            return None
        if word in ("true", "false") and kinds & {"bool", "Any"}:
            return word == "true"
        for kind, number in (("int", int), ("float", float)):
            if kinds & {kind, "Any"}:
                try:
                    return number(text)
                except ValueError:
                    continue
        if kinds & {"str", "Any", "PathLike", "Sequence"}:
            return text
        what = "a whole number" if "float" not in kinds else "a number"
        self.fail(f"{self.keyword.option} takes {what}{' or none' if 'None' in kinds else ''}. {text!r} came.", param, ctx)

    def _structure(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            self.fail(f"{self.keyword.option} takes text that begins with {text[0]} as YAML. {text!r} is none.", param, ctx)


def _kinds(annotation: ast.expr | None) -> set[str]:
    """Names in an annotation, `None` among them."""
    if annotation is None:
        return {"Any"}
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(annotation) if isinstance(node, ast.Attribute)}
    return names | {"None" for node in ast.walk(annotation) if isinstance(node, ast.Constant) and node.value is None}


def _arguments(docstring: str) -> dict[str, str]:
    """Name -> text, of the section `Args:`."""
    found: dict[str, str] = {}
    name = ""
    section = docstring.partition("Args:\n")[2]
    for line in section.splitlines():
        if not line.startswith("    "):
            break
        head, colon, rest = line.strip().partition(": ")
        if not line.startswith("     ") and colon:
            name, found[head] = head, rest
        else:
            found[name] += " " + line.strip()
    return found
