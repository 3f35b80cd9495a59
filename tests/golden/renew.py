"""Renew the golden runs and show what moved: ``tests/golden/renew.py [WORD ...] [--dry-run]``.

WORD: only cases whose name contains it. --dry-run: show what would move, and write nothing. A case
that has not moved is left as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # tiny

import torch
from golden import (
    CASES,
    METHODS,
    RESULTS,
    differences,
    machine_class,
    run,
    run_methods,
    size,
    stored,
    unrevised,
)

from normbench.data import prepare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    names = [n for n in CASES if not asked.words or any(word in n for word in asked.words)]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NORMBENCH_CACHE_DIR"] = cache
        digits = prepare("digits")
        for name in names:
            _renew(name, {"machine": machine_class(), **run(CASES[name], digits)}, asked.dry_run)
        if not asked.words or any(word in METHODS for word in asked.words):
            new = {"machine": machine_class(), **run_methods(digits)}
            names = unrevised(stored(METHODS) or {"runs": {}, "machine": None}, new)
            _renew(METHODS, new, asked.dry_run or bool(names))
            if names:
                print(f"{METHODS}: not written; raise the revision of {', '.join(names)}")
                return 1
    for path in sorted(RESULTS.glob("*.json")):
        if path.stem not in {*CASES, METHODS}:
            print(f"{path.stem}: no longer a case, removed")
            if not asked.dry_run:
                path.unlink()
    return 0


def _renew(name: str, new: dict[str, Any], dry_run: bool) -> None:
    old = stored(name)
    if old is None:
        print(f"{name}: new")
    else:
        moved = list(differences(old["runs"], new["runs"]))
        added = list(differences(new["runs"], old["runs"]))
        if not moved and not added:
            print(f"{name}: unchanged")
            return
        print(f"{name}: {len(moved)} values moved, {len(added) - len(moved)} are new")
        for where, before, after in sorted(moved, key=lambda m: -size(m[1], m[2]))[:4]:
            print(f"    {where:60} {_short(before)} -> {_short(after)}  {_apart(before, after)}")
    if not dry_run:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(new, indent=1) + "\n")


def _short(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)[:12]


def _apart(old: Any, new: Any) -> str:
    apart = size(old, new)
    return f"by {apart:.2g}" if apart < float("inf") else ""


if __name__ == "__main__":
    sys.exit(main())
