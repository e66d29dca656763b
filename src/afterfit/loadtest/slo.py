"""A service-level objective of latency; monitoring holds to the same ones, so it is the core's."""

from afterfit.core.slo import Slo, slo_of

__all__ = ["Slo", "slo_of"]
