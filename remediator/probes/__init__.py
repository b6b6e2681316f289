"""Probes: plug-ins that only look, and the two neighbours that are asked for evidence (`oracle`, `alert_source`)."""
