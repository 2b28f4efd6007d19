"""Messages of the GNU compiler with their German translations: 15,383 short texts, most of them formulaic.

Source: the Debian package gcc-12-locales 12.2.0-14+deb12u1, `/usr/share/locale/de/LC_MESSAGES/gcc-12.mo`. GPL-3.0-or-later.
"""

from __future__ import annotations

from pathlib import Path

from real_data.fetch import debian_package


def folder() -> Path:
    """Folder with the catalogue `gcc-12.mo`."""
    package = debian_package(
        "gcc-12-locales", "12.2.0-14+deb12u1", "a701516b5e34086f478b0a329dfd9dd8e1695e8bac5917a6b162a87719abe28f"
    )
    return package / "usr/share/locale/de/LC_MESSAGES"
