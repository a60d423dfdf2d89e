"""Routes by path segment, taken from the raw path: an encoded slash never splits a segment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus

from fastapi.routing import APIRoute

_PATH_SUFFIX = ":path"


@dataclass
class _Node:
    """One place in the tree of paths: what may follow, and what answers here.

    Attributes:
        literals: Next node by the segment's text.
        parameter: Next node for any segment.
        tail: Routes that take all that follows, by method.
        routes: Routes that end here, by method.
    """

    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    tail: dict[str, APIRoute] = field(default_factory=dict)
    routes: dict[str, APIRoute] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What answers at a path.

    Attributes:
        routes: Route by method; a path without any is unknown.
        values: Values of the path's parameters in order, decoded.
    """

    routes: Mapping[str, APIRoute]
    values: tuple[str, ...]

    def route(self, method: str) -> APIRoute | None:
        """Return the route for a method; HEAD is answered by GET when nothing else answers it."""
        return self.routes.get(method) or (self.routes.get("GET") if method == "HEAD" else None)

    def parameters(self, route: APIRoute) -> dict[str, str]:
        """Return the path's parameters by the names that the route gives them."""
        return dict(zip(_parameter_names(route.path), self.values, strict=True))

    @property
    def template(self) -> str:
        """The path with its parameters' names, as one of the routes spells it."""
        return next(iter(self.routes.values())).path

    @property
    def allowed(self) -> list[str]:
        """The methods of the path, for the header ``Allow``."""
        methods = set(self.routes) | ({"HEAD"} if "GET" in self.routes else set())
        return sorted(methods)


class RouteTable:
    """Finds the route of a request. A literal segment goes before a parameter, a parameter before a tail."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: APIRoute) -> None:
        node = self._root
        segments = [part for part in route.path.split("/") if part]
        place = node.routes
        for segment in segments:
            if segment.startswith("{") and segment.endswith(_PATH_SUFFIX + "}"):
                place = node.tail
                break
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
            place = node.routes
        for method in route.methods or ():
            if method in place:
                raise ValueError(f"two routes answer {method} {route.path}")
            place[method] = route

    def find(self, raw_path: bytes) -> Found | None:
        """Return what answers at a path, None when nothing does.

        Args:
            raw_path: The path as it was sent, percent-encoded, without the query; one slash at its end means nothing.
        """
        segments = raw_path.decode("latin-1").split("/")[1:]
        if segments and not segments[-1]:
            segments.pop()
        return _find(self._root, segments, 0, ())


def _find(node: _Node, segments: list[str], position: int, values: tuple[str, ...]) -> Found | None:
    if position == len(segments):
        return Found(node.routes, values) if node.routes else None
    segment = segments[position]
    following = node.literals.get(unquote(segment))
    found = _find(following, segments, position + 1, values) if following else None
    if found is None and node.parameter is not None and segment:
        found = _find(node.parameter, segments, position + 1, (*values, unquote_plus(segment)))
    if found is None and node.tail:
        return Found(node.tail, (*values, unquote("/".join(segments[position:]))))
    return found


def _parameter_names(path: str) -> list[str]:
    return [part[1:-1].removesuffix(_PATH_SUFFIX) for part in path.split("/") if part.startswith("{")]
