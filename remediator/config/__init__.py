"""Rules and settings from YAML files: all faults at once, each with its place and what to write instead.

`load_rules` and `load_settings` are what the service calls; both are pure but for reading the files they are given.
"""

from remediator.config.loading import Loaded, load_rules
from remediator.config.settings import Settings, read_secret
from remediator.config.settings_loading import load_settings, rule_paths

__all__ = ["Loaded", "Settings", "load_rules", "load_settings", "read_secret", "rule_paths"]
