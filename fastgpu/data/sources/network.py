"""Whether a host answers, in a second or two: the clients underneath try for minutes."""

from __future__ import annotations

import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from urllib.parse import urlsplit

__all__ = ["hosts", "reachable"]

SECONDS = 1.5
_FROM_A_PROXY = (407, 502, 503, 504)  # the proxy answered, the host behind it did not


def reachable(urls: Iterable[str], seconds: float = SECONDS) -> bool:
    """Whether any of the hosts answers at all, with whatever status; proxies of the environment are used.

    Args:
        urls: one address a host is enough.
        seconds: when to give up; looking up a name can take longer than any timeout of a socket, so a thread asks.
    """
    first_of_host = {urlsplit(url).netloc: url for url in urls}
    answers: queue.Queue[bool] = queue.Queue()
    for url in first_of_host.values():
        threading.Thread(target=lambda url=url: answers.put(_answers(url, seconds)), daemon=True).start()
    try:
        return any(answers.get(timeout=seconds) for _ in first_of_host)
    except queue.Empty:
        return False


def hosts(urls: Iterable[str]) -> str:
    """The hosts of some addresses, in words."""
    return " or ".join(dict.fromkeys(urlsplit(url).netloc for url in urls))


def _answers(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code not in _FROM_A_PROXY
    except (OSError, ValueError):
        return False
