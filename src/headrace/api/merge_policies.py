"""Profile configuration: merge policies."""

from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from headrace.api.body import JsonBody, JsonObject
from headrace.api.context import Context, context_of
from headrace.api.paging import Condition, decode_token, encode_token, filtered, limit_of, ordered, parse_order
from headrace.api.patching import apply_patch, dotted_as_pointer, operations_of
from headrace.api.wire.answer import answer, empty
from headrace.profile.policies import MergePolicy, PolicyInvalid, PolicyUnknown

router = APIRouter(prefix="/data/core/ups/config/mergePolicies", tags=["Profile"])
_FILTERS = ("default", "isActiveOnEdge", "schema.name", "identityGraph.type", "attributeMerge.type", "version")
_MOST = 1000
_PATCHABLE = (
    "/name",
    "/identityGraph",
    "/identityGraph/type",
    "/attributeMerge",
    "/attributeMerge/type",
    "/attributeMerge/order",
    "/schema",
    "/schema/name",
    "/version",
    "/default",
    "/isActiveOnEdge",
)


@router.get("")
def list_merge_policies(
    request: Request,
    limit: str | None = None,
    start: str | None = None,
    order_by: str | None = Query(None, alias="orderBy"),
    orderby: str | None = None,
    context: Context = Depends(context_of),
) -> Response:
    """List the sandbox's merge policies."""
    conditions = [Condition(name, "==", (request.query_params[name],)) for name in _FILTERS if name in request.query_params]
    order = order_by or orderby or ""
    rows = filtered([_body(item, context) for item in context.services.policies.all(context.sandbox)], conditions)
    rows = ordered(rows, parse_order(order, default="name"))
    size, first = limit_of(limit, default=20, most=_MOST, is_capped=True), _first(start)
    page = rows[first : first + size]
    facts: dict[str, Any] = {"totalCount": len(rows), "pageSize": len(page), "count": len(page)}
    href = ""
    if first + size < len(rows):
        facts["next"] = encode_token(first + size)
        href = f"@/mergePolicies?start={facts['next']}&orderBy={order}&limit={size}"
    return answer({"_page": facts, "children": page, "_links": {"next": {"href": href}}})


def _first(start: str | None) -> int:
    if not start or start.isdecimal():
        return int(start or 0)
    token = decode_token(start, name="start")
    return token if isinstance(token, int) else 0


@router.post("")
def create_merge_policy(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Create a merge policy."""
    return _shown(context.services.policies.create(context.sandbox, body), context)


@router.post("/bulk-get")
def get_many(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Retrieve several merge policies by ``{"ids": [{"id": …}]}``."""
    entries = body.get("ids")
    if not isinstance(entries, list) or not entries:
        raise PolicyInvalid("The body has no 'ids'.", path="/ids")
    ids = [str(entry.get("id", "")) if isinstance(entry, dict) else str(entry) for entry in entries]
    return answer({"results": {policy_id: _result(policy_id, context) for policy_id in ids}}, 207)


def _result(policy_id: str, context: Context) -> dict[str, Any]:
    try:
        return _body(context.services.policies.policy(context.sandbox, policy_id), context)
    except PolicyUnknown as error:
        return {"statusCode": "404", "message": error.message}


@router.get("/{id}")
def get_merge_policy(id: str, context: Context = Depends(context_of)) -> Response:  # the wire's word
    """Retrieve a merge policy."""
    return _shown(context.services.policies.policy(context.sandbox, id), context)


@router.put("/{id}")
def replace_merge_policy(id: str, body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Replace a merge policy."""
    return _shown(context.services.policies.replace(context.sandbox, id, body), context)


@router.patch("/{id}")
def change_merge_policy(id: str, body: JsonBody, context: Context = Depends(context_of)) -> Response:
    """Change members of a merge policy by JSON Patch; paths may be written with dots."""
    policies = context.services.policies
    present = policies.policy(context.sandbox, id)
    document = {**present.body, "default": present.is_default}
    operations = [_operation(item, index) for index, item in enumerate(operations_of(body))]
    changed = apply_patch(document, operations, with_parents=True)
    return _shown(policies.replace(context.sandbox, id, changed), context)


def _operation(operation: dict[str, Any], index: int) -> dict[str, Any]:
    path = dotted_as_pointer(operation["path"]).replace("/idActiveOnEdge", "/isActiveOnEdge")
    if path not in _PATCHABLE and not path.startswith("/attributeMerge/order/"):
        raise PolicyInvalid(
            f"'{operation['path']}' of a merge policy cannot be changed.", path=f"/{index}/path", hint=", ".join(_PATCHABLE)
        )
    return {**operation, "path": path}


@router.delete("/{id}")
def delete_merge_policy(id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a merge policy."""
    context.services.policies.delete(context.sandbox, id)
    return empty(200)


def _shown(policy: MergePolicy, context: Context) -> Response:
    body = _body(policy, context)
    warnings = context.services.policies.warnings(context.sandbox, policy)
    return answer({**body, "warnings": warnings} if warnings else body)


def _body(policy: MergePolicy, context: Context) -> dict[str, Any]:
    sandbox = context.sandbox
    return {
        "id": policy.id,
        "name": policy.name,
        "imsOrgId": context.organization_id,
        "sandbox": {
            "sandboxId": sandbox.id,
            "sandboxName": sandbox.name,
            "type": sandbox.type,
            "default": sandbox.is_default,
        },
        "schema": {"name": policy.schema_name},
        "version": policy.version,
        "identityGraph": dict(policy.body["identityGraph"]),
        "attributeMerge": dict(policy.body["attributeMerge"]),
        "isActiveOnEdge": policy.is_active_on_edge,
        "default": policy.is_default,
        "updateEpoch": policy.updated_at // 1000,
        "_etag": f'"{policy.id}-{policy.version}"',
        "isRealTime": False,
    }
