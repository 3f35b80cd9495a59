"""Results on disk: run folders, journals, manifests, locks, and reading them back."""

from typing import TYPE_CHECKING, Any

from normbench.constants import SCHEMA
from normbench.store.experiment import ExperimentStore
from normbench.store.locate import find_run, latest, locate, results_folder
from normbench.store.run import RunStore

if TYPE_CHECKING:
    from normbench.store.read import Results, read_probes, read_results

__all__ = [
    "SCHEMA",
    "ExperimentStore",
    "Results",
    "RunStore",
    "find_run",
    "latest",
    "locate",
    "read_probes",
    "read_results",
    "results_folder",
]


def __getattr__(name: str) -> Any:
    # Reading tables needs pandas; completing the name of an experiment must not wait for it.
    if name in ("Results", "read_probes", "read_results"):
        from normbench.store import read

        return getattr(read, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
