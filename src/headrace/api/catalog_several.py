"""Catalog Service: several requests in one."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headrace.api import catalog, catalog_batches
from headrace.api.body import JsonBody
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer
from headrace.catalog.errors import RequestsInvalid
from headrace.errors import HeadraceError

router = APIRouter(prefix=catalog.BASE, tags=["Catalog"])
_MOST_REQUESTS = 100
_TEMPLATE = re.compile(r"<<([^<>]+)\.id>>")
_RESOURCE = re.compile(r"/(dataSets|batches)(?:/([^/]+))?/?")


@router.post("/")
def act_on_several(body: JsonBody, context: Context = Depends(context_of)) -> Response:
    """Perform requests in order; ``<<id.id>>`` stands for what an earlier one made. When one fails, what was made goes again."""
    if not isinstance(body, list) or not 1 <= len(body) <= _MOST_REQUESTS:
        raise RequestsInvalid(f"The body is a list of 1 to {_MOST_REQUESTS} requests.", path="/")
    course = _Course(context)
    for index, request in enumerate(body):
        try:
            course.perform(request)
        except HeadraceError as error:
            course.undo()
            error.path = f"/{index}{error.path if (error.path or '').startswith('/') else ''}"
            raise
    return answer(course.answers)


@dataclass
class _Course:
    """What has been done of a list of requests.

    Attributes:
        context: Who asks.
        answers: Id, status and body of each request that was performed.
        made: Id of the object that a request has made, by the request's id.
        removals: How to take back what was made, in order.
    """

    context: Context
    answers: list[dict[str, Any]] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    removals: list[Callable[[], None]] = field(default_factory=list)

    def perform(self, request: Any) -> None:
        """Perform one request.

        Raises:
            RequestsInvalid: It is no request that can be part of a list.
        """
        name, method, kind, target, body = self._parts(request)
        if method == "GET" and target:
            look_up = catalog.look_up_dataset if kind == "dataSets" else catalog_batches.look_up_batch
            self._note(name, 200, look_up(self.context, target))
        elif method == "POST" and not (kind == "dataSets" and target):
            self._make(name, kind, target, body)
        else:
            raise RequestsInvalid(
                f"{method} /{kind}{target and '/'}{target} cannot be part of a list.",
                path="/method",
                hint="A list creates datasets and batches (POST) and looks single ones up (GET); send other requests alone.",
            )

    def _make(self, name: str, kind: str, target: str, body: Any) -> None:
        if not isinstance(body, dict):
            raise RequestsInvalid("A request that creates something has a 'body'.", path="/body")
        context = self.context
        if kind == "dataSets":
            reply = catalog.create_dataset(body, None, context)
        elif target:
            reply = catalog_batches.create_batch_with_id(target, body, None, context)
        else:
            reply = catalog_batches.create_batch(body, None, context)
        references = json.loads(bytes(reply.body))
        made = str(references[0]).rpartition("/")[2]
        store = context.services.catalog if kind == "dataSets" else context.services.batches
        self.removals.append(lambda: store.delete(context.sandbox, made))
        self.made[name] = made
        self._note(name, reply.status_code, references)

    def _note(self, name: str, code: int, body: Any) -> None:
        self.answers.append({"id": name, "code": code, "body": body})

    def undo(self) -> None:
        """Take back what was made, the newest first; what somebody else uses by now stays."""
        for remove in reversed(self.removals):
            with suppress(HeadraceError):
                remove()

    def _parts(self, request: Any) -> tuple[str, str, str, str, Any]:
        """Return a request's id, method, kind of object, id of the object, and body, with the templates filled in."""
        if not isinstance(request, Mapping):
            raise RequestsInvalid("A request is an object with id, resource, method and body.", path="")
        name = str(request.get("id") or len(self.answers))
        if any(done["id"] == name for done in self.answers):
            raise RequestsInvalid(f"Two requests have the id '{name}'.", path="/id")
        resource = self._filled(request.get("resource"))
        found = _RESOURCE.fullmatch(resource) if isinstance(resource, str) else None
        if found is None:
            raise RequestsInvalid("'resource' is /dataSets or /batches, or one of these with an id.", path="/resource")
        return name, str(request.get("method") or "GET").upper(), found[1], found[2] or "", self._filled(request.get("body"))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _TEMPLATE.sub(self._made_by, value)
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return {name: self._filled(item) for name, item in value.items()} if isinstance(value, Mapping) else value

    def _made_by(self, template: re.Match[str]) -> str:
        if template[1] not in self.made:
            raise RequestsInvalid(f"No request before this one has made something as '{template[1]}'.", path="")
        return self.made[template[1]]
