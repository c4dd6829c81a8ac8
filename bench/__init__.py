"""What the worker costs, as ratios against real peers; docs/benchmarks.md explains."""
