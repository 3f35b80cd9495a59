"""What is measured inside a network while it trains: one quantity a file, found in ``PROBES``."""

from normbench.probes.base import PROBES, Capture, ProbeRecorder, probe_steps

__all__ = ["PROBES", "Capture", "ProbeRecorder", "probe_steps"]
