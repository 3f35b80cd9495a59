"""What a result depends on besides its config: versions, machine, threads."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scipy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Versions, processor and cores, as a manifest records them; nothing that names a person."""
    return {
        "normbench": package_version("normbench"),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
    }


@cache
def package_version(name: str) -> str | None:
    """The installed version of a distribution, without importing it; looked up once a process."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def processor() -> str:
    """The processor's model name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
