"""What an experiment may be called: its name is that of a folder, on any system."""

from __future__ import annotations

import re

from normbench.config.errors import config_error

DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10))}
DEVICES |= {f"lpt{n}" for n in range(10)}
"""What Windows takes for a device in every folder, whatever comes after a dot."""


def checked_name(name: str) -> str:
    """The name as it is, or the mistake in it."""
    fine = all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    if not (fine and 1 <= len(name) <= 64 and name[0] not in ".-"):
        raise config_error(
            f"{name!r} cannot name a folder of results",
            "up to 64 letters, digits and . _ - (not first: . -)",
        )
    if name.split(".")[0].lower() in DEVICES:
        raise config_error(f"{name!r} is a device on Windows and no folder", "another name")
    return name


def experiment_name(stem: str) -> str:
    """A file's name in the letters that an experiment's may have; empty where none is left."""
    return re.sub(r"[^A-Za-z0-9._-]+|^[.-]+", "-", stem).strip("-.")[:64]
