"""Resident memory of all roles with many profiles, and how long the start takes: the first one, and the one after a power cut.

Guards against the complaint that a platform needs a cluster before it does anything. Memory is PSS: pages that the roles share
count once. Profiles are loaded as batches of JSON lines through the API.
"""

import time
from pathlib import Path
from typing import Any

from benchmarks import lookup, machine
from benchmarks.product import Product

_LOOKUPS = 3000


def measure(folder: Path, profiles: int) -> dict[str, Any]:
    """Return the figures, and those of `benchmarks.lookup` on the same profiles."""
    product = Product(folder / "home")
    try:
        product.start()
        ready = product.ready_seconds
        product.set_up("http://127.0.0.1:9/", 100)
        empty = machine.memory_bytes(product.pids().values())
        started = time.perf_counter()
        loaded = product.load_profiles(profiles)
        seconds = time.perf_counter() - started
        by_role = {name: machine.memory_bytes([pid]) for name, pid in product.pids().items()}
        full = sum(by_role.values())
        looked_up = lookup.measure(product, profiles, _LOOKUPS)
        product.kill()
        product.start()
        lookup.measure(product, profiles, 1)
        return {
            "memory": {
                "profiles": profiles,
                "megabytes_empty": round(empty / 1e6),
                "megabytes": round(full / 1e6),
                "megabytes_by_role": {name: round(size / 1e6) for name, size in by_role.items()},
                "ready_seconds": round(ready, 2),
                "restart_seconds": round(product.ready_seconds, 2),
                "load_megabytes_per_second": round(loaded / seconds / 1e6, 2),
                "load_profiles_per_second": round(profiles / seconds),
            },
            "lookup": looked_up,
        }
    finally:
        product.stop()
