"""Functions on the lists that Analytics sends as one text."""

from collections.abc import Callable
from typing import Any

from headrace.ingest.mapping.functions.base import Library, text
from headrace.ingest.mapping.operators import number_of

LIBRARY = Library()

_CATEGORY, _NAME, _QUANTITY, _PRICE, _EVENTS, _EVARS = range(6)


@LIBRARY.add("aa_get_event_id")
def event_id(events: Any, name: Any) -> str | None:
    """Return the id of an event in ``event101=5:id,scOpen``."""
    found = _event(text(events), text(name))
    return None if found is None else (found.partition(":")[2] or None)


@LIBRARY.add("aa_get_event_value")
def event_value(events: Any, name: Any) -> Any:
    """Return the value of an event in ``event101=5:id,scOpen``; 1 when it has none."""
    found = _event(text(events), text(name))
    if found is None:
        return None
    value = found.partition(":")[0]
    return number_of(value) if value else 1


def _event(events: str, name: str) -> str | None:
    """Return what follows the name of an event, empty when nothing does, None when the event is absent."""
    for entry in events.split(","):
        key = entry.strip()
        if key.partition("=")[0].partition(":")[0] == name:
            return key[len(name) + 1 :] if key[len(name) : len(name) + 1] == "=" else key[len(name) :]
    return None


def _add_field(name: str, index: int) -> None:
    @LIBRARY.add(name)
    def field(products: Any) -> list[str | None]:
        return _fields(text(products), index)


for _function, _index in (
    ("aa_get_product_categories", _CATEGORY),
    ("aa_get_product_names", _NAME),
    ("aa_get_product_quantity", _QUANTITY),
    ("aa_get_product_price", _PRICE),
):
    _add_field(_function, _index)


@LIBRARY.add("aa_get_product_event_values")
def product_event_values(products: Any, name: Any) -> list[str | None]:
    """Return the value of an event for each product."""
    return _keyed(products, _EVENTS, text(name), lambda value: value.partition(":")[0])


@LIBRARY.add("aa_get_product_evars")
def product_evars(products: Any, name: Any) -> list[str | None]:
    """Return the value of an eVar for each product."""
    return _keyed(products, _EVARS, text(name), lambda value: value)


def _fields(products: str, index: int) -> list[str | None]:
    rows = [product.split(";") for product in products.split(",")]
    return [(row[index].strip() or None) if index < len(row) else None for row in rows]


def _keyed(products: Any, index: int, name: str, shown: Callable[[str], str]) -> list[str | None]:
    found: list[str | None] = []
    for field in _fields(text(products), index):
        pairs = dict(entry.partition("=")[::2] for entry in (field or "").split("|"))
        found.append(shown(pairs[name]) if name in pairs else None)
    return found
