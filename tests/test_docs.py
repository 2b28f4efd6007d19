"""What README.md, CONTRIBUTING.md and docs/ say is run, page by page, block after block."""

import builtins
import re
import runpy
import shlex
from pathlib import Path

import pytest

from fastgpu import zoo
from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.trackers import TRACKERS
from fastgpu.cli import main
from fastgpu.data.sources.base import SOURCES
from fastgpu.export.base import FORMATS
from fastgpu.inputs import INPUTS
from fastgpu.tasks import TASKS
from fastgpu.zoo.entry import FAMILIES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(p for p in ROOT.glob("*.md") if p.name != "CHANGELOG.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.M | re.S)
REGISTRIES = (CALLBACKS, FAMILIES, FORMATS, INPUTS, SOURCES, TASKS, TRACKERS)
RESNETS = {"README.md", "docs/performance.md", "examples/own_loop.py", "examples/three_lines.py"}


def _parameter(path):
    name = path.relative_to(ROOT).as_posix()
    slow = (pytest.mark.slow, pytest.mark.timeout(1800)) if name in RESNETS else ()
    return pytest.param(path, id=name, marks=slow)


@pytest.fixture
def _registries():
    """What a page registers is forgotten after it."""
    kept = [(registry, registry._load().copy()) for registry in REGISTRIES]
    yield
    for registry, entries in kept:
        registry._entries = entries
    zoo.find.cache_clear()


@pytest.mark.parametrize("path", [_parameter(p) for p in PAGES if BLOCK.search(p.read_text(encoding="utf-8"))])
@pytest.mark.usefixtures("_registries")
# Of Lightning's own Trainer, where a page has one.
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*", "ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
def test_page_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    text = path.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        language, code = match.groups()
        if language == "python":
            # Lines before the block make a traceback point into the page.
            before = "\n" * text[: match.start(2)].count("\n")
            builtins.exec(compile(before + code, path, "exec", dont_inherit=True), names)
            continue
        for line in code.splitlines():
            # Installing and checking is for .ci/run.
            if line.startswith("fastgpu "):
                assert main(shlex.split(line)[1:]) == 0, f"{line}\n{capsys.readouterr().err}"


def test_examples_in_the_help_of_commands_name_real_options():
    from fastgpu.cli import _fastgpu

    for name, command in _fastgpu.commands.items():
        examples = re.findall(rf"fastgpu {name} .*", command.epilog or "")
        options = {option for parameter in command.params for option in parameter.opts}
        assert examples
        assert {word for line in examples for word in line.split() if word.startswith("--")} <= options


def test_links_between_pages_lead_somewhere():
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_readme_names_every_verb_of_the_learner():
    from fastgpu import Learner

    inner = {"arguments", "changed_weights", "facts", "refuse_missing", "remember_weights", "run_dir", "say", "task_module"}
    verbs = {name for name in vars(Learner) if not name.startswith("_")} - inner
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {verb for verb in verbs if f"`{verb}`" not in readme and f"`Learner.{verb}`" not in readme} == set()


# Those on real data have tests of their own, test_examples_*.py; and those of tables need scikit-learn.
OF_FIELDS = {p for p in (ROOT / "examples").glob("*.py") if "real_data" in p.read_text() or p.name.startswith("tables")}


@pytest.mark.parametrize("path", [_parameter(p) for p in sorted({*(ROOT / "examples").glob("*.py")} - OF_FIELDS)])
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert "accuracy" in (shown := capsys.readouterr().out) or "mae" in shown, "an example shows what was learnt"
