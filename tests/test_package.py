"""The package's surface: names, lazy import, import rules, the front door."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fastgpu
from fastgpu.registry import Registry

ROOT = Path(__file__).parents[1]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_loads_nothing_heavy():
    heavy = run("import sys, fastgpu, fastgpu.errors, fastgpu.cli; print([m for m in ('torch','lightning','pandas','timm') if m in sys.modules])")
    assert heavy.strip() == "[]"


def test_a_learner_loads_neither_wandb_nor_pandas_nor_matplotlib():
    # torchmetrics loads matplotlib by itself where it is installed, and transformers, which loads tokenizers.
    code = "import sys; from fastgpu import Learner; print([m for m in ('wandb','pandas','timm','datasets') if m in sys.modules])"
    assert run(code).strip() == "[]"


@pytest.mark.parametrize("module", ["fastgpu", "fastgpu.callbacks"])
def test_public_names_are_what_can_be_imported(module):
    found = importlib.import_module(module)
    assert sorted(found.__all__) == sorted(set(found.__all__))
    assert set(found.__all__) <= set(dir(found))
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(AttributeError, match="fastgpu has no 'Lerner'. Did you mean 'Learner'"):
        fastgpu.Lerner  # noqa: B018
    with pytest.raises(AttributeError, match="Unknown callback 'EarlyStoping'. Did you mean 'EarlyStopping'"):
        fastgpu.callbacks.EarlyStoping  # noqa: B018


def test_the_building_blocks_have_their_promised_names():
    import torch

    assert isinstance(fastgpu.models.ResNet(), torch.nn.Module)
    assert fastgpu.optimizers.Adam is torch.optim.Adam
    assert fastgpu.losses.CrossEntropyLoss is torch.nn.CrossEntropyLoss
    accuracy = fastgpu.metrics.Accuracy()
    accuracy.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    assert accuracy.get() == 0.5
    accuracy.reset()


def test_registries_refuse_a_second_of_the_same_name():
    things = Registry("thing")
    things.register("a")(1)
    with pytest.raises(RuntimeError, match="thing 'a' is registered twice"):
        things.register("a")(2)


def test_imports_point_downwards():
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([str(lint), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


def test_the_front_door_links_lead_inside():
    for name in ("callbacks", "zoo"):
        assert (ROOT / name).resolve() == (ROOT / "fastgpu" / name).resolve()


def test_lightnings_malicious_releases_are_excluded():
    text = (ROOT / "pyproject.toml").read_text()
    assert '"lightning>=2.6.6,<3,!=2.6.2,!=2.6.3"' in text


@pytest.mark.parametrize("path", sorted(ROOT.glob("fastgpu/**/*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 400
