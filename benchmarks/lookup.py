"""Profile look-up through the API, by any identity: how long it takes while nothing else happens, and how many a second.

Guards against the complaint that a profile is only there for the batch jobs.
"""

import http.client
import random
import time
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks import workload
from benchmarks.product import Product

_WARM_UP = 200


def measure(product: Product, persons: int, requests: int) -> dict[str, Any]:
    """Return percentiles of the time from request to answer, one connection, random persons and identities."""
    chance = random.Random(3)
    headers = product.headers()
    where = urlsplit(product.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port)
    times = []
    for number in range(requests + _WARM_UP):
        person = chance.randrange(persons)
        namespace, value = chance.choice(
            ((workload.CUSTOMER, workload.customer_of(person)), (workload.MAIL, f"person{person}@shop.example"))
        )
        path = f"/data/core/ups/access/entities?schema.name=_xdm.context.profile&entityId={quote(value)}&entityIdNS={namespace}"
        started = time.perf_counter()
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        if number >= _WARM_UP:
            times.append(time.perf_counter() - started)
        assert reply.status == 200, body
        assert f"First{person}".encode() in body
    connection.close()
    ordered = sorted(times)
    return {
        "profiles": persons,
        "requests": requests,
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }
