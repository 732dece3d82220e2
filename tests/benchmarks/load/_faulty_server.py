"""`python -m tests.benchmarks.load._faulty_server`: the scripted server in a process of its own, until standard input ends. It prints its port."""

from __future__ import annotations

import sys

from tests.core.benchmark.scripted import scripted_server

if __name__ == "__main__":
    with scripted_server() as server:
        print(server.port, flush=True)
        sys.stdin.read()
