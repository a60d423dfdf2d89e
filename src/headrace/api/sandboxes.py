"""Sandbox management."""

from typing import Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from headrace.api.body import JsonObject
from headrace.api.context import Context, context_of
from headrace.api.paging import filtered, limit_of, ordered, parse_order, parse_properties, start_of
from headrace.api.wire.answer import answer
from headrace.catalog.errors import SandboxInvalid
from headrace.catalog.sandboxes import ACTIVE, SANDBOX_TYPES, SandboxEntry
from headrace.clock import from_ms

_BASE = "/data/foundation/sandbox-management"
router = APIRouter(prefix=_BASE, tags=["Sandboxes"])
_REGION = "VA7"
_MOST = 1000


@router.get("/")
def list_available_sandboxes(
    limit: str | None = None, offset: str | None = None, start: str | None = None, context: Context = Depends(context_of)
) -> Response:
    """List the sandboxes that the caller may use."""
    active = [entry for entry in context.services.sandboxes.entries() if entry.state == ACTIVE]
    return answer(_page([_body(entry) for entry in active], limit, offset or start, f"{_BASE}/"))


@router.get("/sandboxTypes")
def list_sandbox_types() -> Response:
    """List the types of sandboxes."""
    return answer({"sandboxTypes": [{"id": name, "title": name.capitalize()} for name in SANDBOX_TYPES]})


@router.get("/sandboxes")
def list_sandboxes(
    limit: str | None = None,
    offset: str | None = None,
    start: str | None = None,
    order_by: str | None = Query(None, alias="orderBy"),
    property_filters: list[str] = Query([], alias="property"),
    context: Context = Depends(context_of),
) -> Response:
    """List the organisation's sandboxes in any state."""
    rows = [_body(entry) for entry in context.services.sandboxes.entries()]
    rows = ordered(filtered(rows, parse_properties(property_filters)), parse_order(order_by, default="asc:createdDate"))
    return answer(_page(rows, limit, offset or start, f"{_BASE}/sandboxes"))


@router.get("/sandboxes/{name}")
def get_sandbox(name: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a sandbox, also a deleted one."""
    return answer(_body(context.services.sandboxes.entry(name)))


@router.post("/sandboxes")
def create_sandbox(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Create a sandbox."""
    name, title, kind = (_text(body, member) for member in ("name", "title", "type"))
    entry = context.services.sandboxes.create(name, title, kind, user_id=context.user_id)
    return answer({**_summary(entry), "state": "creating"}, 202)


@router.patch("/sandboxes/{name}")
def update_sandbox(name: str, body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Change the title of a sandbox."""
    return answer(_body(context.services.sandboxes.rename(name, _text(body, "title"), user_id=context.user_id)))


@router.put("/sandboxes/{name}")
def reset_sandbox(
    name: str,
    body: JsonObject,
    validation_only: bool = Query(False, alias="validationOnly"),
    context: Context = Depends(context_of),
) -> Response:
    """Reset a sandbox (``{"action": "reset"}``): its name and id stay, all that it holds goes."""
    if str(body.get("action", "")).lower() != "reset":
        raise SandboxInvalid("The body's 'action' must be 'reset'.", path="/action")
    sandboxes = context.services.sandboxes
    if validation_only:
        return answer(_summary(sandboxes.resettable(name)))
    return answer({**_summary(sandboxes.reset(name, user_id=context.user_id)), "state": "resetting"}, 202)


@router.delete("/sandboxes/{name}")
def delete_sandbox(
    name: str, validation_only: bool = Query(False, alias="validationOnly"), context: Context = Depends(context_of)
) -> Response:
    """Delete a sandbox with all that it holds."""
    sandboxes = context.services.sandboxes
    if validation_only:
        return answer(_summary(sandboxes.deletable(name)))
    return answer(_summary(sandboxes.delete(name, user_id=context.user_id)), 202)


def _text(body: dict[str, Any], member: str) -> str:
    value = body.get(member)
    if not isinstance(value, str) or not value.strip():
        raise SandboxInvalid(f"The body has no '{member}'.", path=f"/{member}")
    return value


def _summary(entry: SandboxEntry) -> dict[str, Any]:
    sandbox = entry.sandbox
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "title": entry.title,
        "state": entry.state,
        "type": sandbox.type,
        "region": _REGION,
    }


def _body(entry: SandboxEntry) -> dict[str, Any]:
    return {
        **_summary(entry),
        "isDefault": entry.sandbox.is_default,
        "eTag": entry.version,
        "etag": entry.version,
        "createdDate": _date(entry.created_at),
        "lastModifiedDate": _date(entry.updated_at),
        "createdBy": entry.created_by,
        "modifiedBy": entry.updated_by,
    }


def _date(instant_ms: int) -> str:
    return from_ms(instant_ms).strftime("%Y-%m-%d %H:%M:%S")


def _page(rows: list[dict[str, Any]], limit: str | None, offset: str | None, path: str) -> dict[str, Any]:
    size, start = limit_of(limit, default=20, most=_MOST), start_of(offset, name="offset")
    page = rows[start : start + size]
    links: dict[str, Any] = {"page": {"href": f"{path}?limit={{limit}}&offset={{offset}}", "templated": True}}
    if start + size < len(rows):
        links["next"] = {"href": f"{path}?limit={size}&offset={start + size}"}
    if start:
        links["prev"] = {"href": f"{path}?limit={size}&offset={max(0, start - size)}"}
    return {"sandboxes": page, "_page": {"limit": size, "count": len(page)}, "_links": links}
