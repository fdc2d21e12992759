"""Planted frauds: methods that look as if they forget and do not. An audit must convict each.

They are for teaching and for testing the audit itself; the list of methods does not name them.
"""

from forget.core.registry import Registry
from forget.methods import Method

FRAUDS: Registry[Method] = Registry("fraud", __name__)
