"""The configs that come with normbench."""

from __future__ import annotations

from pathlib import Path


def bundled() -> list[Path]:
    """Their files, sorted by name."""
    package = Path(__file__).resolve().parent
    # In a wheel they are inside the package, in a checkout beside it.
    folder = package / "configs"
    if not folder.is_dir():
        folder = package.parent / "configs"
    return sorted(folder.glob("*.yaml"))
