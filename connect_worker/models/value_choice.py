"""The values that a parameter can take; they are declared beside its other constraints."""

from connect_worker.models.constraints import ValueChoice

__all__ = ["ValueChoice"]
