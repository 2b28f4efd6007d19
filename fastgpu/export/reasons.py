"""Why a network could not be traced, in one line: from what a tracer raised to the operation and what to do."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

__all__ = ["why_not"]

NOT_IN_FORMAT = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
GRAPH = Path(__file__).with_name("graph.py")
STANDARD = sysconfig.get_path("stdlib")


def why_not(error: BaseException, network: str, format: str) -> str:
    """The line of an `ExportError`.

    Args:
        error: what a tracer raised.
        network: name of the network's class.
        format: name of the format.
    """
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None and deeper not in chain:
        chain.append(deeper)
    text = "\n".join(str(each) for each in chain)
    missing = NOT_IN_FORMAT.search(text)
    if missing:
        other = "another format" if format == "pt2" else "format='pt2'"
        return f"{format} must have each operation of the network. It lacks {missing.group(1)} of {network}. Replace that operation, or take {other}."
    if any(type(each).__name__ == "InductorError" for each in chain) and "data-dependent" in text:
        rule = f"For {format} each length must have a bound."
        return f"{rule} The compiler finds none for some of {network}, which follow from values. Take format='onnx' or 'pt2'."
    where = _place(chain)
    if "data-dependent" in text or "Dynamic control flow" in text or "Data-dependent" in text:
        return (
            f"For {format} a network must do the same steps whatever its values are. {network} looks at values{where}. "
            "Choose with torch.where, or take format='safetensors'."
        )
    if "static shape" in text or "specialized" in text or "Constraints violated" in text:
        return (
            f"For {format} the size of a batch must stay open. {network} fixes a size{where}. "
            "Take sizes as x.shape[0], not by len(x), and do not compare them with numbers."
        )
    inner = chain[-1]
    first = next((line.strip().rstrip(".") for line in str(inner).splitlines() if line.strip()), "")
    return (
        f"{network} must be traced for {format}. It failed{where}: {type(inner).__name__}: {first[:200]}. "
        "Write that step with operations of torch, or take format='safetensors'."
    )


def _place(chain: list[BaseException]) -> str:
    """Where in the network's own code it happened: the innermost line below the graph's that is not of a library."""
    for error in reversed(chain):
        frames = traceback.extract_tb(error.__traceback__)
        begins = [i for i, frame in enumerate(frames) if Path(frame.filename) == GRAPH and frame.name == "named"]
        for frame in reversed(frames[begins[-1] + 1 :] if begins else []):
            if "site-packages" not in frame.filename and not frame.filename.startswith(("<", STANDARD)):
                return f" at `{frame.line}` ({Path(frame.filename).name}, line {frame.lineno})"
    return ""
