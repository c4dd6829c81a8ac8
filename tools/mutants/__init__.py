"""Mutation proof of the fault suite: `make test-mutants`.

A check that cannot fail proves nothing. So the proof switches off one promise at a time, in a copy
of the tree. The tests of that promise must fail there, and must pass in an unchanged copy.
"""
