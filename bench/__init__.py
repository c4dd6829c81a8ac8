"""Measures the worker as ratios to real peers; docs/benchmarks.md explains how."""
