"""Fields of an event that several conditions of one generated function read."""

from collections.abc import Callable

from headrace.pql import tree as t


class SharedFields:
    """The fields of one event that several conditions read: each is looked up once, before the first of them."""

    def __init__(self, fresh: Callable[[str], str]) -> None:
        """Start with none; ``fresh`` gives names that nothing else has.

        Attributes:
            lines: Assignments to put before whatever uses the names.
        """
        self._fresh = fresh
        self._names: dict[tuple[str, ...], str] = {}
        self.lines: list[str] = []

    def name_of(self, node: t.Field, slots: tuple[int, ...]) -> str | None:
        """Return the local name of a field's value, None when the field is not one of the event's own."""
        path: list[str] = []
        start: t.Bound = node
        while isinstance(start, t.Field):
            path.append(start.name)
            start = start.object
        if not (isinstance(start, t.Variable) and start.slot in slots):
            return None
        return self._local(tuple(reversed(path)))

    def _local(self, path: tuple[str, ...]) -> str:
        if path not in self._names:
            if len(path) == 1:
                source = f"event.get({path[0]!r})"
            else:
                above = self._local(path[:-1])
                source = f"{above}.get({path[-1]!r}) if {above} is not None else None"
            self._names[path] = self._fresh("f")
            self.lines.append(f"{self._names[path]} = {source}")
        return self._names[path]
