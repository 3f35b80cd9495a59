"""The configs that come with normbench."""

from __future__ import annotations

from pathlib import Path

CLAIMS = "claims"


def bundled() -> list[Path]:
    """Their files, sorted by name."""
    return sorted(_folder().glob("*.yaml"))


def bundled_for_claims() -> dict[str, Path]:
    """claims/<name> -> file of the configs that the claims of the literature rest on."""
    files = sorted((_folder() / CLAIMS).glob("*.yaml"))
    return {f"{CLAIMS}/{file.stem}": file for file in files}


def _folder() -> Path:
    package = Path(__file__).resolve().parent
    # In a wheel they are inside the package, in a checkout beside it.
    folder = package / "configs"
    if not folder.is_dir():
        folder = package.parent / "configs"
    return folder
