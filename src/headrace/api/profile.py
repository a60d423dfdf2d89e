"""Profile access: ``/data/core/ups/access/entities``."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import JSONResponse, Response

from headrace.api.context import Context, context_of
from headrace.model import ProfileDelete, Sandbox, encode_entry
from headrace.profile.access import (
    EVENT_CLASS,
    MAX_EVENTS,
    PROFILE_CLASS,
    Asked,
    EntityNotFound,
    EntityRequestInvalid,
    EventQuery,
    ProfileAccess,
    parse_condition,
)

router = APIRouter(prefix="/data/core/ups/access", tags=["Profile access"])

_MAX_IDENTITIES = 1000
_CONTEXT = Depends(context_of)


@router.get("/entities")
def get_entities(
    context: Annotated[Context, _CONTEXT],
    schema_name: Annotated[str, Query(alias="schema.name")] = "",
    entity_id: Annotated[str, Query(alias="entityId")] = "",
    entity_namespace: Annotated[str, Query(alias="entityIdNS")] = "",
    entity_namespace_other: Annotated[str, Query(alias="entityIdNs")] = "",
    related_id: Annotated[str, Query(alias="relatedEntityId")] = "",
    related_namespace: Annotated[str, Query(alias="relatedEntityIdNS")] = "",
    fields: str = "",
    policy_id: Annotated[str, Query(alias="mergePolicyId")] = "",
    start_time: Annotated[int | None, Query(alias="startTime")] = None,
    end_time: Annotated[int | None, Query(alias="endTime")] = None,
    limit: int = MAX_EVENTS,
    orderby: str = "",
    order_by: Annotated[str, Query(alias="orderBy")] = "",
    start: str = "",
    offsets: str = "",
    conditions: Annotated[list[str] | None, Query(alias="property")] = None,
) -> JSONResponse:
    """Look up one entity, or a page of the events of a profile ("Look up a profile entity by ID")."""
    access = context.services.access
    if not schema_name:
        raise EntityRequestInvalid("schema.name is missing.", path="schema.name")
    namespace = entity_namespace or entity_namespace_other
    if schema_name == EVENT_CLASS:
        asked = access.asked(context.sandbox, related_id or entity_id, related_namespace or namespace)
        query = EventQuery(
            since_ms=start_time,
            until_ms=end_time,
            limit=_limit(limit),
            is_newest_first=(orderby or order_by).strip().startswith("-"),
            after=offsets or start,
            fields=_paths(fields.split(",") if fields else []),
            conditions=tuple(parse_condition(text) for text in conditions or ()),
        )
        return JSONResponse(access.events(context.sandbox, asked, query))
    _check_class(schema_name)
    asked = access.asked(context.sandbox, entity_id, namespace)
    shown = fields.split(",") if fields else []
    entity = access.entity(context.sandbox, asked, fields=shown, policy_id=policy_id or None)
    return JSONResponse({asked.xid: entity})


@router.post("/entities")
def post_entities(context: Annotated[Context, _CONTEXT], body: Annotated[dict[str, Any], Body()]) -> JSONResponse:
    """Look up many entities, or the events of many profiles ("Look up multiple profile entities by ID")."""
    access = context.services.access
    identities = body.get("identities")
    if not isinstance(identities, list) or not identities:
        raise EntityRequestInvalid("identities must be a list of at least one identity.", path="identities")
    if len(identities) > _MAX_IDENTITIES:
        raise EntityRequestInvalid(f"A call asks for at most {_MAX_IDENTITIES} identities.", path="identities")
    schema_name = (body.get("schema") or {}).get("name", "")
    if schema_name == EVENT_CLASS:
        return JSONResponse(_events_of_many(access, context.sandbox, identities, body))
    _check_class(schema_name)
    answers: dict[str, Any] = {}
    has_failure = False
    for item in identities:
        code = _code(item.get("entityIdNS"))
        try:
            asked = access.asked(context.sandbox, str(item.get("entityId", "")), code)
        except EntityRequestInvalid as error:
            has_failure = True
            answers[str(item.get("entityId"))] = {"xid": "", "error": {"message": str(error), "statusCode": "400"}}
            continue
        answers[asked.xid] = _one_of_many(access, context.sandbox, asked, item, code, body)
    return JSONResponse(answers, status_code=207 if has_failure else 200)


def _one_of_many(
    access: ProfileAccess, sandbox: Sandbox, asked: Asked, item: dict[str, Any], code: str | None, body: dict[str, Any]
) -> dict[str, Any]:
    requested = {"entityId": item.get("entityId"), **({"entityIdNS": {"code": code}} if code else {})}
    try:
        entity = access.entity(sandbox, asked, fields=body.get("fields") or [], policy_id=body.get("mergePolicyId") or None)
    except EntityNotFound:
        entity = {"entityId": asked.xid, "sources": [""], "entity": {}, "lastModifiedAt": "1970-01-01T00:00:00Z"}
    return {"requestedIdentity": requested, **entity}


def _events_of_many(
    access: ProfileAccess, sandbox: Sandbox, identities: list[dict[str, Any]], body: dict[str, Any]
) -> dict[str, Any]:
    answers = {}
    window = body.get("timeFilter") or {}
    order = str(body.get("orderby") or body.get("orderBy") or "")
    for item in identities:
        namespace = _code(item.get("relatedEntityIdNS") or item.get("entityIdNS"))
        asked = access.asked(sandbox, str(item.get("relatedEntityId") or item.get("entityId") or ""), namespace)
        query = EventQuery(
            since_ms=_milliseconds(window.get("startTime")),
            until_ms=_milliseconds(window.get("endTime")),
            limit=_limit(int(body.get("limit", MAX_EVENTS))),
            is_newest_first=order.startswith("-"),
            after=str(item.get("start", "")),
            fields=_paths(body.get("fields") or []),
        )
        page = access.events(sandbox, asked, query)
        if page["_page"]["next"]:
            token = page["_links"]["next"]["href"].partition("start=")[2].partition("&")[0]
            page["_links"]["next"]["payload"] = {**body, "identities": [{**item, "start": token}]}
        answers[asked.xid] = page
    return answers


@router.delete("/entities")
def delete_entity(
    context: Annotated[Context, _CONTEXT],
    schema_name: Annotated[str, Query(alias="schema.name")] = "",
    entity_id: Annotated[str, Query(alias="entityId")] = "",
    entity_namespace: Annotated[str, Query(alias="entityIdNS")] = "",
) -> Response:
    """Delete the profile of one identity ("Delete an entity by ID"); the graph and the lake stay."""
    _check_class(schema_name)
    services = context.services
    asked = services.access.asked(context.sandbox, entity_id, entity_namespace)
    request = ProfileDelete(context.sandbox.number, asked.namespace_id, asked.value, services.clock.now_ms())
    services.log.topic("records").append([encode_entry(request)])
    return Response(status_code=202)


def _check_class(schema_name: str) -> None:
    if schema_name != PROFILE_CLASS:
        raise EntityRequestInvalid(
            f"There are no entities of class '{schema_name}'.",
            path="schema.name",
            hint=f"Use {PROFILE_CLASS} or {EVENT_CLASS}.",
        )


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_EVENTS:
        raise EntityRequestInvalid(f"limit must lie between 1 and {MAX_EVENTS}.", path="limit")
    return limit


def _paths(fields: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split(".")) for path in fields)


def _code(namespace: Any) -> str | None:
    code = namespace.get("code") if isinstance(namespace, dict) else namespace
    return str(code) if code else None


def _milliseconds(stated: Any) -> int | None:
    """Return a time filter's bound: the published example counts seconds, clients send milliseconds too."""
    if stated is None:
        return None
    value = int(stated)
    return value * 1000 if value < 100_000_000_000 else value
