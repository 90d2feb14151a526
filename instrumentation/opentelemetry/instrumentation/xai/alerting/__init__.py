"""Rules for Prometheus, and for whatever reads its format: which alerts there are, when they fire, and what they say.

``thresholds`` has the figures, ``recording`` the series that alerts share, ``alerts`` the alerts, ``annotations`` their
words, ``rule_file`` the text. All are made from the names in ``conventions``.
"""

from .rule_file import rule_file
from .thresholds import Thresholds

__all__ = ["Thresholds", "rule_file"]
