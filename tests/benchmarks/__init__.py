"""Benchmarks: `python -m tests.benchmarks [KEY ...] [--quick]`. See docs/benchmarks.md.

Each is a module of this package with `measure(scale) -> dict` and `rows(result) -> Table`; `frame.KEYS` lists them.
"""
