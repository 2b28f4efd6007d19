"""Published weights: from the local cache, else from the network if it answers at once."""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

from fastgpu.errors import ArgumentError, CheckpointError, NetworkError

__all__ = ["fitting", "weights_file"]

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
PATIENCE = 1.5
"""Seconds that a server has to answer; a caller without a network gets its answer within 2."""


@contextlib.contextmanager
def fitting(name: str, weights: Path | None) -> Iterator[None]:
    """One line for a file of weights that is damaged or belongs to another network.

    Raises:
        CheckpointError: what was done with `weights` failed.
    """
    try:
        yield
    # A damaged file ends in an error of safetensors, of zipfile, of pickle, or in missing keys.
    except Exception as error:
        if weights is None:
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"Pretrained weights have to fit {name}. {weights} does not: {line[:200]}. Delete that file, or use pretrained=False."
        ) from error


def weights_file(name: str, wanted: bool | str, *, hub: str = "", url: str = "") -> tuple[Path | None, str]:
    """Find the file with an architecture's published weights.

    Args:
        name: the architecture, for messages.
        wanted: False never looks; True insists; `"auto"` takes what can be had.
        hub: `owner/repository` on the Hugging Face hub, with `@revision` where one is meant.
        url: address of the file where it is not on the hub.

    Returns:
        The file, or None with one line that says why there is none (`""` where none was wanted).

    Raises:
        ArgumentError: `wanted` is something else, or True where no weights are published.
        NetworkError: True, and the weights are neither cached nor to be fetched.
    """
    if wanted not in (False, True, "auto"):
        raise ArgumentError(f'pretrained is True, False or "auto". Got {wanted!r}.')
    if wanted is False:
        return None, ""
    if not hub and not url:
        if wanted is True:
            raise ArgumentError(
                f"No pretrained weights are published for {name}. Use pretrained=False, or choose another: "
                "fastgpu.zoo.model_info(name).pretrained says which have them."
            )
        return None, f"no pretrained weights are published for {name}: starting from random weights"

    cached = _hub_cached(hub) if hub else _url_cached(url)
    if cached is not None:
        return cached, ""
    obstacle = _obstacle(hub, url)
    if not obstacle:
        try:
            return _hub_fetch(hub) if hub else _url_fetch(url), ""
        # The client and its transport change from version to version, and each has its own tree of errors.
        except Exception as error:
            obstacle = f"fetching them failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if wanted is True:
        raise NetworkError(
            f"pretrained=True needs the weights of {name}, which are not in the local cache ({obstacle}). "
            "Connect to the network once, or use pretrained=False."
        )
    return None, f"no pretrained weights for {name} ({obstacle}): starting from random weights"


def _hub_cached(hub: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = hub.partition("@")
    for filename in HUB_FILES:
        found = try_to_load_from_cache(repository, filename, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def _hub_fetch(hub: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = hub.partition("@")
    for filename in HUB_FILES[:-1]:
        try:
            return Path(hf_hub_download(repository, filename, revision=revision or None))
        except LocalEntryNotFoundError:
            # The network went away: the next name would only wait again.
            raise
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(repository, HUB_FILES[-1], revision=revision or None))


def _url_cached(url: str) -> Path | None:
    import torch

    path = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(url).path))
    return path if path.exists() else None


def _url_fetch(url: str) -> Path:
    import torch

    path = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(url).path))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.hub.download_url_to_file(url, str(path))
    return path


def _obstacle(hub: str, url: str) -> str:
    """Why nothing can be fetched; `""` where the server answers."""
    if not hub:
        return "" if _answers(url) else "no network"
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return "" if _answers(constants.ENDPOINT) else "no network"


def _answers(address: str) -> bool:
    """Whether a server answers within `PATIENCE`; proxies of the environment are used."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=PATIENCE).close()
            answered.set()
        except urllib.error.HTTPError as error:
            # A server that refuses this request is there; a gateway that cannot reach it is not.
            if error.code < 500 and error.code != 407:
                answered.set()
        except (OSError, ValueError):
            pass
        finally:
            done.set()

    # In a thread, for a name server that does not answer heeds no timeout.
    done = threading.Event()
    threading.Thread(target=ask, name="fastgpu-probe", daemon=True).start()
    done.wait(PATIENCE)
    return answered.is_set()
