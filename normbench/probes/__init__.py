"""What is measured inside a network while it trains: one quantity a file, found in ``PROBES``."""

from normbench.probes.base import PROBES, Capture, Tap, probe_steps

__all__ = ["PROBES", "Capture", "Tap", "probe_steps"]
