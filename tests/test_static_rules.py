"""What no file of the package may do, read from its syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

from test_imports import FILES, relative, syntax_tree

WRITES = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile"}
SENT_BY_OURSELVES = ("execution/components.py",)
"""Files that unpickle what this very command has sent to its workers."""

APPENDS = ("store/journal.py",)
"""Files that may open one of their own for writing: a journal grows by a line at a time."""


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """(what is called, dotted, and the call) in a file."""
    nodes = ast.walk(syntax_tree(path))
    return [(ast.unparse(n.func), n) for n in nodes if isinstance(n, ast.Call)]


def opened_for(call: ast.Call) -> str:
    """The mode of a call of ``open``, as a function or a method."""
    place = 1 if isinstance(call.func, ast.Name) else 0
    modes = [k.value for k in call.keywords if k.arg == "mode"] or call.args[place : place + 1]
    return str(modes[0].value) if modes and isinstance(modes[0], ast.Constant) else "r"


def test_files_are_written_in_one_place():
    for path in FILES:
        if relative(path) == "atomic.py":
            continue
        for name, call in calls(path):
            last = name.rpartition(".")[2]
            where = f"{relative(path)}:{call.lineno}: {name}"
            assert last not in WRITES, f"{where}: normbench.atomic writes files"
            assert name != "os.replace", f"{where}: normbench.atomic replaces files"
            if last == "open" and name != "tarfile.open" and relative(path) not in APPENDS:
                assert not set(opened_for(call)) & set("wax+"), where


def test_what_others_wrote_is_read_without_running_it():
    for path in FILES:
        for name, call in calls(path):
            keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
            where = f"{relative(path)}:{call.lineno}: {name}"
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", where
            if name.endswith((".extractall", ".extract")) and "tar" in name:
                assert keywords.get("filter") == "'data'", where
            assert name not in ("yaml.load", "yaml.unsafe_load"), where
            if relative(path) not in SENT_BY_OURSELVES:
                assert name not in ("pickle.load", "pickle.loads"), where
