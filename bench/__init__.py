"""Benchmarks that print ratios: the sender beside C tools and beside the plain recipe.

`make bench` (or `python -m bench.send`) measures on the machine it runs on, alternating, so that
what the machine does besides hits all alike. `docs/performance.md` holds a run, and how to read it.
"""
