"""Where events go: each sink in a module of its own, found by the scheme of its address."""

from afterfit.runtime.sinks.base import EventSink
from afterfit.runtime.sinks.opening import folder_of, open_sink
from afterfit.runtime.sinks.segments import SegmentWriter
from afterfit.runtime.sinks.stdout import StdoutSink

__all__ = ["EventSink", "SegmentWriter", "StdoutSink", "folder_of", "open_sink"]
