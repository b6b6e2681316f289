"""remediator: acts on Prometheus alerts by a runbook, and can always say why it did, or did not."""

__version__ = "0.1.0"
