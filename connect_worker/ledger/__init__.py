"""How cycles are remembered: in Redis for workers, in memory for one process and for tests."""

from connect_worker.ledger.checks import Finding, check_redis
from connect_worker.ledger.memory import MemoryLedger
from connect_worker.ledger.redis import RedisLedger, connect

__all__ = ["Finding", "MemoryLedger", "RedisLedger", "check_redis", "connect"]
