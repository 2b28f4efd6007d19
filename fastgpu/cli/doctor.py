"""`fastgpu doctor`: is this machine ready?"""

from __future__ import annotations

import click

__all__ = ["doctor"]


@click.command(epilog="\b\nExamples:\n  fastgpu doctor\n  fastgpu doctor || echo 'something must be mended'")
def doctor() -> int:
    """Report versions, devices, free memory and disk, optional packages, and versions known to be bad.

    The exit status is 1 where something is known to be bad.
    """
    from fastgpu.doctor import examine

    report = examine()
    click.echo(str(report))
    return 1 if report.problems else 0
