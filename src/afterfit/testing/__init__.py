"""Public checks for plugins, with sample data and models."""

from afterfit.testing.adapter import AdapterFaultError, check_adapter

__all__ = ["AdapterFaultError", "check_adapter"]
