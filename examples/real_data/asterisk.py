"""Recorded prompts of the telephone exchange Asterisk: one speaker, 8 kHz, with what she says.

Source: Debian's packages asterisk-core-sounds-en-wav (the sounds) and asterisk-core-sounds-en (the texts), 1.6.1-1.
Spoken by Allison Smith, paid for by Digium. Licence: CC BY-SA 3.0, so the sounds are not part of FastGPU.

`folder()` has the layout of LJSpeech: `metadata.csv` beside `wavs/`, prompts of at most 6 seconds, numbers spelt out.
"""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

from real_data.fetch import cache, debian_package, making

__all__ = ["DIGITS", "folder", "sounds"]

VERSION = "1.6.1-1"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONGEST = 6.0


def sounds() -> Path:
    """The folder with the recordings as they were published; `digits/7.wav` is the word seven."""
    sha256 = "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"
    package = debian_package("asterisk-core-sounds-en-wav", VERSION, sha256)
    return next(package.glob("usr/share/asterisk/sounds/en_*"))


def folder() -> Path:
    """The prompts as a folder with `metadata.csv`."""
    made = cache() / "asterisk-prompts-1"
    if made.is_dir():
        return made
    import soundfile

    recordings = sounds()
    with making(made) as partial:
        (partial / "wavs").mkdir(parents=True)
        lines = []
        for name, text in _texts().items():
            source = recordings / f"{name}.wav"
            plain = _spelt(text)
            if plain and source.is_file() and 0.3 <= (seconds := soundfile.info(source).duration) <= _LONGEST and len(plain) < 25 * seconds:
                shutil.copy(source, partial / "wavs" / f"{name.replace('/', '-')}.wav")
                lines.append(f"{name.replace('/', '-')}|{text}|{plain}")
        (partial / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def _texts() -> dict[str, str]:
    sha256 = "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50"
    package = debian_package("asterisk-core-sounds-en", VERSION, sha256)
    listed = gzip.decompress((package / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz").read_bytes()).decode("utf-8", "replace")
    pairs = (line.split(":", 1) for line in listed.splitlines() if ":" in line and not line.startswith(";"))
    return {name.strip(): text.strip().replace("|", " ") for name, text in pairs}


def _spelt(text: str) -> str:
    """A prompt as it is spoken, `""` where the list describes a sound, or has what is no word."""
    if re.search(r"[\[\]()<>/*#@=]|\d\d", text):
        return ""
    spelt = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text)
    return " ".join(re.sub(r"[^a-z' ]", " ", spelt.lower()).split())
