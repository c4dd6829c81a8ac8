"""How cycles are remembered: in Redis for workers, in memory for one process and for tests."""
