"""The names of what is known of a service: each service of the catalog has all of them.

True and false facts come without a unit. A fact whose value is None is unknown, and an offer then
passes only once somebody has confirmed it. An infinite limit says that the service sets none.
"""

from __future__ import annotations

__all__ = ["COMPLIANCE", "FACTS", "PATHS"]

FACTS: dict[str, str] = {
    "payload_mb": "MB",
    "timeout_s": "s",
    "concurrency": "requests at once",
    "most_replicas": "replicas",
    "memory_gib": "GiB",
    "gpu": "",
    "scale_to_zero": "",
    "autoscaling": "",
    "scale_lag_s": "s",
    "cold_start_s": "s",
    "availability": "share",
    "least_replicas_of_sla": "replicas",
    "private_network": "",
    "encryption_at_rest": "",
    "encryption_in_transit": "",
    "own_keys": "",
    "identity": "",
    "data_residency": "",
    "canary": "",
    "data_capture": "",
    "interrupted": "",
    "air_gapped": "",
    "effort": "0 none .. 1 everything is yours",
    "lock_in": "0 any container .. 1 nothing moves",
}
"""Fact -> unit. ``effort`` and ``lock_in`` are judgements of ours, which the docs argue."""

COMPLIANCE = ("hipaa", "soc2", "iso27001", "pci", "fedramp", "gdpr")
"""Programmes: true is evidence with a link, false says that there is none; most are unknown."""

PATHS = ("database", "queue", "object_store", "crm", "erp", "warehouse")
"""What a service reaches natively; the fact's text says by which way."""
