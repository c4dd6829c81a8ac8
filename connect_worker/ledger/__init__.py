"""How cycles are remembered: in Redis for workers, in memory for one process and for tests."""

from connect_worker.ledger.checks import Finding, inspect
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger, connect

__all__ = ["Finding", "MemoryLedger", "RedisLedger", "connect", "inspect"]
