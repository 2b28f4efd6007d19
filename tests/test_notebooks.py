"""The notebooks of examples/notebooks: their form, what their cells show, and the cell that installs."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from fastgpu.optional import EXTRAS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
REPOSITORY = re.search(r'^Repository = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
TORCHES = ("torch", "torchvision", "torchaudio")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def install_cell(path):
    return read(path).cells[1].source


# Their form


@each_notebook
def test_a_notebook_is_saved_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 20_000
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@each_notebook
def test_a_notebook_opens_in_colab_and_reads_well(path):
    first, second, *rest = read(path).cells
    assert first.source.startswith("# ")
    colab = REPOSITORY.replace("https://github.com", "https://colab.research.google.com/github")
    assert f"({colab}/blob/main/{path.relative_to(ROOT).as_posix()})" in first.source
    assert "%pip install" in second.source
    assert rest[-1].cell_type == "markdown", "it says how to go on"
    for cell in rest:
        assert len(cell.source.splitlines()) <= 13, cell.source


@each_notebook
def test_other_notebooks_are_named_rightly(path):
    for cell in read(path).cells:
        for name in re.findall(r"`(\w+\.ipynb)`", cell.source):
            assert path.with_name(name).exists()


def test_docs_and_readme_name_every_notebook():
    page, readme = (ROOT / "docs/guide/notebooks.md").read_text(), (ROOT / "README.md").read_text()
    for path in NOTEBOOKS:
        assert f"{REPOSITORY}/blob/main/{path.relative_to(ROOT).as_posix()}" in page
        assert path.relative_to(ROOT).as_posix() in readme


# What the cells show


class Run:
    """A notebook that was run: the outputs of a cell, found by words of its source."""

    def __init__(self, notebook):
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def outputs(self, words):
        (cell,) = (cell for cell in self.cells if words in cell.source)
        return cell.outputs

    def printed(self, words):
        return "".join(each.text for each in self.outputs(words) if each.output_type == "stream")

    def value(self, words):
        """The text of what the cell's last line gave."""
        return next(each.data["text/plain"] for each in self.outputs(words) if each.output_type == "execute_result")

    def table(self, words):
        """Text of the cells of the table of epochs, row by row."""
        (html,) = (each.data["text/html"] for each in self.outputs(words) if each.output_type == "display_data")
        return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", html)]

    def picture(self, words):
        return any("image/png" in each.get("data", {}) for each in self.outputs(words))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook from top to bottom in a folder of its own, with neither a key of W&B nor settings of the user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(name):
        notebook = read(ROOT / "examples" / "notebooks" / f"{name}.ipynb")
        where = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=240, coalesce_streams=True, resources=where).execute()
        found = Run(notebook)
        assert found.outputs("%pip install") == [], "FastGPU is installed, so nothing is"
        assert not (tmp_path / "constraints.txt").exists()
        return found

    return run


def best(table):
    column = table[0].index("val_accuracy")
    return max(float(row[column]) for row in table[1:])


@pytest.mark.slow
def test_three_lines(run):
    shown = run("three_lines")
    table = shown.table("learn.fit(3)")
    assert [row[0] for row in table] == ["epoch", "1/3", "2/3", "3/3"]
    assert best(table) > 0.9
    assert shown.picture("history.plot")
    assert shown.picture("show_results")
    assert "label" in shown.value('predict("val")')
    assert [row[0] for row in shown.table("learn.fit(1)")] == ["epoch", "4/4"]
    assert Path("digits.safetensors").stat().st_size > 1_000_000
    accuracy = float(re.search(r"'accuracy': ([\d.]+)", shown.value("Learner.load"))[1])
    assert accuracy == pytest.approx(max(best(table), best(shown.table("learn.fit(1)"))), abs=1e-3)


@pytest.mark.slow
def test_own_pictures(run):
    shown = run("own_pictures")
    assert len(list(Path("pictures").glob("*/*.png"))) > 400
    assert shown.printed("iterdir()):\n    print(folder, ").count("pictures/") == 4
    assert best(shown.table("fit_one_cycle")) > 0.9
    for words in ("show_batch", "show_results", "results.plot"):
        assert shown.picture(words), words
    assert shown.value('predict("new_pictures/two")').split()[:2] == ["label", "probability"]
    counts = re.findall(r"(\w+): (\d+) of (\d+) right", shown.printed("labels.count"))
    assert {name for name, *_ in counts} == {"zero", "one", "two", "three"}
    assert sum(int(right) for _, right, _ in counts) > 0.85 * sum(int(of) for *_, of in counts)
    assert "'label': 'three'" in shown.value("predict(file)")


@pytest.mark.slow
def test_shrink_and_export(run):
    pytest.importorskip("torch_pruning")
    pytest.importorskip("onnxruntime")
    shown = run("shrink_and_export")
    assert best(shown.table("learn.fit(2)")) > 0.9
    assert re.search(r"pruned +[\d.]+ +[\d,]+ \(2\d%\)", shown.printed("learn.prune"))
    assert int(re.search(r"parameters: (\d+)%", shown.printed("pruned.ratio"))[1]) < 30
    assert "kept: " in shown.printed("learn.quantize")
    assert "digits.onnx: onnx" in shown.printed("learn.export")
    assert Path("digits.onnx").stat().st_size < Path("large.safetensors").stat().st_size / 3
    certificate = json.loads(Path("digits.onnx.json").read_text())
    assert certificate["format"] == "onnx"
    assert "Predictor(classification of 10 classes" in shown.value("Predictor.load")
    assert shown.picture("predictor.predict")
    rows = shown.value("learn.benchmark").splitlines()[1:3]
    assert [row.split()[0] for row in rows] == ["torch", "onnx"]
    assert all(float(row.split()[2]) > 0.9 for row in rows)
    assert "target 0.3 met" in shown.printed("large.compress")


@pytest.mark.slow
def test_track_with_wandb(run):
    pytest.importorskip("wandb")
    shown = run("track_with_wandb")
    files = shown.printed('learn.run_dir.rglob("*")').split()
    assert {"args.yaml", "env.json", "history.csv", "history.png", "checkpoints/best", "checkpoints/last"} <= set(files)
    recorded = any(re.fullmatch(r"wandb/offline-run-[\w-]+/run-\w+\.wandb", file) for file in files)
    assert recorded, "\n".join([*files, shown.printed('name="first"')])
    assert "val_accuracy" in shown.value("read_csv")
    assert "higher-rate" in shown.value("pd.DataFrame")
    text = (ROOT / "examples" / "notebooks" / "track_with_wandb.ipynb").read_text(encoding="utf-8")
    assert all(f"`{file}`" in text for file in files if not file.startswith("wandb/"))
    commands = re.findall(r"^wandb sync --id (\S+) (\S+)$", shown.printed("wandb sync"), re.M)
    assert len(commands) == 2
    for name, folder in commands:
        assert (Path(folder) / f"run-{name}.wandb").stat().st_size > 0


# The cell that installs


def test_the_cell_that_installs_is_one_and_the_same():
    cells = {re.sub(r'"fastgpu(\[[\w,]+\])? @', '"fastgpu @', install_cell(path)) for path in NOTEBOOKS}
    assert len(cells) == 1
    assert f'"fastgpu @ git+{REPOSITORY}"' in cells.pop()
    known = set(EXTRAS.values())
    for path in NOTEBOOKS:
        assert set(",".join(re.findall(r"fastgpu\[([\w,]+)\]", install_cell(path))).split(",")) - {""} <= known


def constraints(folder, monkeypatch):
    """Run the cell as IPython would where FastGPU is missing, up to pip; what it wrote, and what pip was told."""
    told = []

    class Shell:
        def run_line_magic(self, name, line, *rest):
            told.append((name, line))

    code = TransformerManager().transform_cell(install_cell(NOTEBOOKS[0]))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastgpu" else pytest.fail(name))
    exec(code, {"get_ipython": Shell})
    ((name, line),) = told
    assert name == "pip"
    return (folder / "constraints.txt").read_text(), line


def test_the_installed_torch_is_pinned(tmp_path, monkeypatch):
    written, line = constraints(tmp_path, monkeypatch)
    pins = dict(pin.split("==") for pin in written.splitlines())
    assert pins["torch"] == importlib.metadata.version("torch")
    assert pins == {name: importlib.metadata.version(name) for name in pins}
    assert set(pins) <= set(TORCHES)
    assert "--constraint constraints.txt" in line


def plain_environment():
    """This process's, without what may be set for Python and pip on this machine."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def wheel(folder, name, version, requires=()):
    """A wheel of nothing but its metadata."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_pip_refuses_to_replace_the_pinned_torch(tmp_path, monkeypatch):
    """A dry run of the real pip: without the constraint it would bring the newer torch, with it it refuses."""
    constraints(tmp_path, monkeypatch)
    monkeypatch.undo()
    wheel(tmp_path, "torch", "99.0")
    wheel(tmp_path, "wants_newer", "1.0", ["torch>=99"])

    def pip(*more):
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--no-index",
            "--find-links",
            str(tmp_path),
            *more,
            "wants_newer",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=plain_environment())

    free, held = pip(), pip("--constraint", "constraints.txt")
    assert "torch-99.0" in free.stdout, free.stderr
    assert held.returncode != 0
    assert "conflict" in held.stderr
    assert "torch-99.0" not in held.stdout


@pytest.mark.slow
def test_the_cell_installs_fastgpu_beside_the_torch_that_is_there(tmp_path):
    """The cell in a real IPython, pip and git, in an environment that has everything but FastGPU; the repository is a local one."""
    pytest.importorskip("hatchling")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    python = environment_without_fastgpu(tmp_path / "venv")
    repository = local_repository(tmp_path / "repository")
    path = next(path for path in NOTEBOOKS if "[" in install_cell(path).splitlines()[-1])  # the one that asks for extras
    script = tmp_path / "cell.ipy"
    script.write_text(install_cell(path))
    env = plain_environment() | {
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf", "GIT_CONFIG_VALUE_0": REPOSITORY,
        "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path),
    }  # fmt: skip

    def run(*command):
        return subprocess.run([python, *command], capture_output=True, text=True, cwd=tmp_path, env=env, timeout=250, check=False)

    assert run("-c", "import fastgpu").returncode != 0
    installed = run("-m", "IPython", str(script))
    assert installed.returncode == 0, installed.stdout + installed.stderr
    found = run("-c", "import fastgpu, torch; from fastgpu import Predictor; print(fastgpu.__file__); print(torch.__version__)")
    file, version = found.stdout.split()
    assert Path(file).is_relative_to(tmp_path), found.stderr
    assert version.split("+")[0] == importlib.metadata.version("torch").split("+")[0]
    (tmp_path / "constraints.txt").unlink()
    again = run("-m", "IPython", str(script))
    assert again.returncode == 0
    assert not (tmp_path / "constraints.txt").exists(), "the second time it does nothing"


def environment_without_fastgpu(folder):
    """A virtual environment of links to the packages of this one; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for entry in Path(pytest.__file__).parents[1].iterdir():
        # A .pth file may lead to a FastGPU that is being worked on.
        if "fastgpu" not in entry.name and entry.suffix != ".pth" and entry.name != "__pycache__":
            (packages / entry.name).symlink_to(entry)
    return str(folder / "bin" / "python")


def local_repository(folder):
    """What a clone of FastGPU holds, as far as building needs it."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "fastgpu", folder / "fastgpu", ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(folder), "-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *command], check=True)
    return folder
