"""Results on disk: run folders, journals, manifests, locks, and reading them back."""

from normbench.store.experiment import ExperimentStore
from normbench.store.read import Results, read_probes, read_results
from normbench.store.run import SCHEMA, RunStore

__all__ = ["SCHEMA", "ExperimentStore", "Results", "RunStore", "read_probes", "read_results"]
