"""Mutation proof of the fault suite: `make test-mutants`.

A check that cannot fail is no check. So each promise is switched off once, in a copy of the tree,
and the tests that hold it must fail there, while they pass in an unchanged copy.
"""
