"""The one object that ``--json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer


def print_json(content: Mapping[str, Any]) -> None:
    """Print an object to stdout, with the schema's number before its own keys."""
    from normbench.constants import SCHEMA
    from normbench.store.files import to_json

    typer.echo(to_json({"schema": SCHEMA, **content}))
