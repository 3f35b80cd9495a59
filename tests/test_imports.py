"""The directions of DESIGN.md: imports point down, leaves import nothing of ours."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tiny import experiment

import normbench

PACKAGE = Path(normbench.__file__).parent
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400

LEAVES = (
    *("seeding", "errors", "environment", "interrupts", "bundled", "constants", "dotted"),
    *("atomic", "plain", "swapped", "vision"),
)

# What each part may import of ours, besides itself.
ALLOWED: dict[str, set[str]] = {leaf: set() for leaf in LEAVES} | {
    name: {*LEAVES, *others}
    for name, others in {
        "components": [],
        "registry": ["components"],
        "norms": ["registry"],
        "models": ["norms", "registry", "components"],
        "data": ["components", "registry"],
        "probes": ["models", "norms", "registry"],
        "config": ["models", "norms", "data", "registry", "components"],
        "store": [],
        "plan": ["config", "store"],
        "training": ["norms", "models", "data", "probes", "config"],
        "execution": [
            *("training", "store", "data", "config", "plan", "models", "norms", "registry"),
            *("analysis", "results", "components"),
        ],
        "analysis": [],
        "doctor": ["data", "store", "registry", "config"],
        "charts": ["analysis", "store", "registry"],
        "results": ["analysis", "store", "charts", "registry", "plan", "config", "measure"],
        "measure": [
            *("models", "norms", "probes", "data", "training", "config", "registry", "components"),
        ],
        "exporters": ["store", "analysis", "registry", "results"],
    }.items()
}
# The upper floors, from below: each may import everything below it.
UPPER = [
    "report",
    "progress",
    "claims",
    "probing",
    "api",
    "recommending",
    "interactive",
    "cli",
    "__main__",
]

for floor, name in enumerate(UPPER):
    ALLOWED[name] = {*ALLOWED, *UPPER[:floor]} - {name}


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part(path: Path) -> str:
    """The folder or file directly below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _is_file(name: str) -> bool:
    """Whether a dotted name of ours is a module, rather than something in one."""
    path = PACKAGE.parent / name.replace(".", os.sep)
    return path.is_dir() or path.with_name(f"{path.name}.py").is_file()


@cache
def imported(path: Path) -> set[str]:
    """Full names of the modules a file imports, wherever in it, for types or not."""
    found: set[str] = set()
    body = syntax_tree(path).body
    if part(path) == "norms":  # a method is told of the network that it changes, by type alone
        body = [node for node in body if not isinstance(node, ast.If)]
    for node in (inner for outer in body for inner in ast.walk(outer)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides its direction"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_file = name.startswith("normbench.") and _is_file(name)
                found.add(name if is_file else str(node.module))
    return found


def ours(path: Path) -> set[str]:
    """The parts of the package that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("normbench.")}


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def module_name(path: Path) -> str:
    dotted = relative(path).removesuffix(".py").replace(os.sep, ".")
    return f"normbench.{dotted}".removesuffix(".__init__")


def test_every_part_has_a_place_in_the_order():
    parts = {part(path) for path in FILES} - {"__init__"}
    assert parts <= ALLOWED.keys(), "say in this test what the new part may import"


def in_order(needs: dict[str, set[str]]) -> list[str]:
    """The names, each behind what it needs. Fails where some are in a circle."""
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        pytest.fail(f"in a circle: {error.args[1]}")


def test_the_order_has_no_circles():
    assert set(in_order(ALLOWED)) == ALLOWED.keys()


def test_no_files_import_each_other():
    """Nor in a circle of several; also within functions, and for types alone."""
    files = {module_name(path): path for path in FILES}
    needs = {name: imported(path) & files.keys() - {name} for name, path in files.items()}
    assert len(in_order(needs)) == len(files)


def test_imports_point_down():
    allowed = ALLOWED | {"__init__": {"analysis", "api", "interactive", "models"}}
    upward = {relative(p): sorted(ours(p) - allowed[part(p)] - {part(p)}) for p in FILES}
    assert not {path: parts for path, parts in upward.items() if parts}


def test_no_file_is_longer_than_four_hundred_lines():
    lines = {relative(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}


@pytest.mark.parametrize("folder", ["analysis", "store", "charts", "exporters", "results"])
def test_no_file_of_the_tables_imports_torch(folder: str):
    for path in (PACKAGE / folder).rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "torch"}, path


def loaded_by(*modules: str) -> set[str]:
    """The top-level modules in a fresh interpreter after importing these."""
    code = "; ".join([*(f"import {name}" for name in modules), "import sys"])
    code += "; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_loads_neither_torch_nor_pandas_nor_numpy():
    assert not loaded_by("normbench", "normbench.cli") & {"torch", "pandas", "numpy", "scipy"}


def test_analysis_and_store_load_no_torch():
    rooms = ("analysis", "store", "charts", "exporters", "results")
    chosen = [module_name(path) for path in FILES if part(path) in rooms]
    assert len(chosen) > 10
    found = loaded_by(*chosen)
    assert "pandas" in found
    assert "torch" not in found


@pytest.fixture(scope="module")
def results(tmp_path_factory, digits) -> Path:
    """A results folder with the experiment "tiny"."""
    root = tmp_path_factory.mktemp("results")
    normbench.train(experiment(), results=root, jobs=1)
    return root


def loaded_by_verbs(*verbs: str, folder: Path) -> dict[str, set[str]]:
    """All modules in a fresh interpreter in ``folder`` after each ``normbench VERB``, in turn."""
    code = (
        "import sys\nfrom normbench.cli import main\nfor verb in sys.argv[1:]:\n"
        "    sys.argv = ['normbench', *verb.split()]\n"
        "    try:\n        main()\n    except SystemExit as end:\n"
        "        assert not end.code, verb\n    print('\\nLOADED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *verbs],
        capture_output=True,
        text=True,
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(PACKAGE.parent)),
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("LOADED")]
    return dict(zip(verbs, map(set, told), strict=True))


def test_what_answers_from_results_loads_no_torch(results):
    # What one verb has loaded stays, so the tables, which need least, come first.
    after = loaded_by_verbs(
        "compare tiny --results .",
        "list runs --results .",
        "list experiments --results .",
        "show tiny/batch-s0 --results .",
        "report tiny --out page.html --results .",
        "report tiny --format svg --out charts --results .",
        folder=results,
    )
    assert not after["compare tiny --results ."] & {"scipy.stats", "altair"}
    for verb, found in after.items():
        assert not found & {"torch", "torchvision", "sklearn"}, verb


def test_what_needs_the_schema_loads_torch_at_most(tmp_path):
    heavy = {"pandas", "scipy", "sklearn", "altair", "torchvision", "torch._dynamo"}
    after = loaded_by_verbs(
        "list configs", "list norms", "validate digits", "show digits", "init mine.yaml --yes",
        folder=tmp_path,
    )  # fmt: skip
    assert not after["list configs"] & {"torch", "pandas"}
    for verb, found in after.items():
        assert not found & heavy, verb


def test_what_a_notebook_uses_is_in_the_package_itself():
    import normbench

    for name in ("claims", "compare", "cost", "export", "load", "probe", "train"):
        assert callable(getattr(normbench, name))
        assert name in normbench.__all__


def test_what_the_benchmarks_take_from_the_package_is_there() -> None:
    """They run by hand and seldom, so a name that moved would be noticed late."""
    files = sorted(BENCHMARKS.rglob("*.py"))
    if not files:
        pytest.skip("the tests lie beside a wheel, without the benchmarks")
    absent = [
        f"{file.name}: {node.module}.{name.name}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("normbench")
        for name in node.names
        if not _there(str(node.module), name.name)
    ]
    assert not absent


def _there(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True
