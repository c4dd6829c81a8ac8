"""Dry runs: the real engine runs a processor, the ledger is in memory, and nothing is sent."""
