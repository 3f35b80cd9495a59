"""What an exporter is, and the folder that its files go to.

An exporter turns results that were read back into files, and knows neither folders nor the command
line. A new one is a file in this package:

    import io

    from normbench.exporters.base import EXPORTERS, Files, needs
    from normbench.store import Results

    @EXPORTERS.register("feather")
    def feather(results: Results) -> Files:
        \"\"\"One Feather file: the table of runs.\"\"\"
        with needs("parquet"):  # the extra of pyproject.toml that brings the library
            from pyarrow.feather import write_feather
        file = io.BytesIO()
        write_feather(results.runs, file)
        yield "runs.feather", file.getvalue()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from pydantic_core import from_json

from normbench.errors import ConfigError, Problem, StoreError
from normbench.registry import Registry, UnknownName
from normbench.store import SCHEMA, Results
from normbench.store.files import reported, to_json, write_atomically

Files: TypeAlias = Iterator[tuple[str, bytes]]
"""Paths below the export's folder, with ``/``, and what they hold."""

Exporter: TypeAlias = Callable[[Results], Files]
"""A generator. The same results give the same bytes; it reads no clock and changes no result."""

EXPORTERS: Registry[Exporter] = Registry("exporter", "normbench.exporters")

MARKER = "export.json"
"""The file by which a folder is known to be an export, and which of its files are ours."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import within this context what only the extra ``extra`` installs.

    Raises ConfigError that says how to install it.
    """
    try:
        yield
    except ImportError as error:
        hint = f'pip install "normbench[{extra}]"'
        raise ConfigError([Problem("", f"this export needs more: {error}", hint)]) from error


def export(results: Results, to: str, out: Path | None = None) -> list[Path]:
    """Write the export ``to`` of an experiment and return its files.

    out: the folder, by default ``export/<to>`` in the experiment's own. An earlier export of the
    same experiment in the same format is replaced, and its files that are no longer made are
    removed; whatever else lies there stays.

    Raises ConfigError for an unknown format or an extra that is not installed, StoreError when the
    folder holds anything but such an export or cannot be written. Both come before the first file.
    """
    try:
        name = EXPORTERS.canonical(to)
    except UnknownName as error:
        raise ConfigError([Problem("to", error.message, error.hint)]) from None
    folder = out if out is not None else results.path / "export" / name
    mark: dict[str, Any] = {"schema": SCHEMA, "experiment": results.name, "format": name}
    before = _made_before(folder, mark)
    made: list[str] = []
    for file, content in EXPORTERS[name](results):
        if not made:  # the folder is ours from now on, even if this export does not come to an end
            _write(folder / MARKER, to_json(mark | {"files": before}) + "\n")
        _write(folder / file, content)
        made.append(file)
    with reported(folder, "write to", "--out"):
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            file = path.relative_to(folder).as_posix()
            if file in before and file not in made:
                path.unlink()
    _write(folder / MARKER, to_json(mark | {"files": made}) + "\n")
    return [folder / file for file in made]


def _write(path: Path, content: bytes | str) -> None:
    with reported(path.parent, "write to", "--out"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content, "--out")


def _made_before(folder: Path, mark: dict[str, Any]) -> list[str]:
    """The files that an earlier export of the same kind made in ``folder``.

    Raises StoreError when the folder holds anything but such an export.
    """
    with reported(folder, "write to", "--out"):
        if not folder.exists() or not any(folder.iterdir()):
            return []
        try:
            marker = from_json((folder / MARKER).read_bytes())
        except (FileNotFoundError, ValueError):
            marker = None
    if not isinstance(marker, dict) or any(marker.get(key) != mark[key] for key in mark):
        raise StoreError(
            f"{folder} is not empty and holds no {mark['format']} export of {mark['experiment']!r}"
            "\n    name a new or empty folder with --out DIR"
        )
    return [str(file) for file in marker.get("files", [])]
