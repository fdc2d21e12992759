"""Planted frauds: methods that look as if they forget and do not. An audit must convict each.

They are for teaching and for testing the audit itself; the list of methods does not name them.
"""

from forget.methods import Method
from forget.registry import Registry

FRAUDS: Registry[Method] = Registry("fraud", __name__)
