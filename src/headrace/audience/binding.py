"""Queries of audiences against the union schemas of their sandbox, bound once and kept while neither changes."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.audience.definition import Audience, Expression
from headrace.audience.errors import ExpressionInvalid
from headrace.model import Sandbox
from headrace.pql.analysis import Analysis, Audiences, analyse, event_type, profile_type
from headrace.pql.errors import PqlError
from headrace.pql.tree import Bound
from headrace.pql.types import ObjectType
from headrace.schemas import EVENT_CLASS, PROFILE_CLASS, SchemaRegistry
from headrace.telemetry import log


@dataclass(frozen=True, slots=True)
class Unions:
    """The union schemas of a sandbox, and the types made from them."""

    profile_form: Mapping[str, Any]
    event_form: Mapping[str, Any]
    profile: ObjectType
    event: ObjectType


class Binder:
    """Binds queries; safe between threads."""

    def __init__(self, schemas: SchemaRegistry) -> None:
        self._schemas = schemas
        self._unions: dict[int, Unions] = {}
        self._bound: dict[int, tuple[int, Unions, Bound | None]] = {}
        self._lock = threading.Lock()

    def unions(self, sandbox: Sandbox) -> Unions:
        """Return the present union schemas of a sandbox; the same object while they stay the same."""
        profile_form = self._schemas.union_form(sandbox, PROFILE_CLASS)
        event_form = self._schemas.union_form(sandbox, EVENT_CLASS)
        with self._lock:
            known = self._unions.get(sandbox.number)
            if known is not None and known.profile_form is profile_form and known.event_form is event_form:
                return known
            if known is not None and known.profile_form == profile_form and known.event_form == event_form:
                found = Unions(profile_form, event_form, known.profile, known.event)
            else:
                found = Unions(profile_form, event_form, profile_type(profile_form), event_type(event_form))
            self._unions[sandbox.number] = found
            return found

    def analysed(self, sandbox: Sandbox, expression: Expression, audiences: Audiences) -> Analysis:
        """Return everything that is known about a query.

        Raises:
            ExpressionInvalid: It has problems; all are named.
        """
        unions = self.unions(sandbox)
        try:
            return analyse(
                expression.value,
                profile_schema=unions.profile,
                event_schema=unions.event,
                query_format=expression.format,
                audiences=audiences,
            )
        except PqlError as error:
            raise ExpressionInvalid(error) from error

    def bound(self, sandbox: Sandbox, audience: Audience) -> Bound | None:
        """Return the bound query of a stored audience; None when it has none, or the schema lost what it reads."""
        if audience.definition.expression is None:
            return None
        unions = self.unions(sandbox)
        known = self._bound.get(audience.number)
        if (
            known is not None
            and known[0] == audience.version
            and known[1].profile is unions.profile
            and known[1].event is unions.event
        ):
            return known[2]
        try:
            found: Bound | None = self.analysed(sandbox, audience.definition.expression, Audiences()).bound
        except ExpressionInvalid as error:
            log("audience", logging.WARNING, "an audience no longer fits the schema", audience=audience.id, problem=str(error))
            found = None
        self._bound[audience.number] = (audience.version, unions, found)
        return found
