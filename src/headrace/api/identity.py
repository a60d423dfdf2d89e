"""Identity Service: namespaces and native XIDs."""

from typing import Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from headrace.api.body import JsonObject
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer
from headrace.api.wire.identity import IdentityQueryInvalid, namespace_named
from headrace.identity.namespaces import Namespace, NamespaceUnknown
from headrace.identity.normalise import normalised
from headrace.identity.xid import encode_xid

router = APIRouter(prefix="/data/core", tags=["Identity"])


@router.get("/idnamespace/identities")
def list_namespaces(context: Context = Depends(context_of)) -> Response:
    """List the standard namespaces and the sandbox's own."""
    return answer([_body(item) for item in context.services.namespaces.all(context.sandbox)])


@router.post("/idnamespace/identities")
def create_namespace(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Create a namespace."""
    return answer(_body(context.services.namespaces.create(context.sandbox, body)))


@router.get("/idnamespace/identities/{id}")
def get_namespace(id: str, context: Context = Depends(context_of)) -> Response:  # the wire's word
    """Retrieve a namespace by its number."""
    return answer(_body(context.services.namespaces.get(context.sandbox, _number(id, context))))


@router.put("/idnamespace/identities/{id}")
def update_namespace(id: str, body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Replace name and description of a namespace; the answer is an array, as published."""
    return answer([_body(context.services.namespaces.update(context.sandbox, _number(id, context), body))])


@router.get("/idnamespace/orgs/{organization}/identities")
def list_namespaces_of_organization(organization: str, context: Context = Depends(context_of)) -> Response:
    """List the namespaces of an organisation; another one shares none with this server."""
    is_own = organization == context.organization_id
    return answer([_body(item) for item in context.services.namespaces.all(context.sandbox)] if is_own else [])


@router.get("/idnamespace/orgs/{organization}/identities/{id}")
def get_namespace_of_organization(organization: str, id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a namespace of an organisation."""
    if organization != context.organization_id:
        raise NamespaceUnknown(id, organization)
    return answer(_body(context.services.namespaces.get(context.sandbox, _number(id, context))))


@router.get("/identity/identity")
def get_xid(
    id: str | None = None,
    namespace: str | None = None,
    ns: str | None = None,
    nsid: str | None = None,
    ns_id: str | None = Query(None, alias="nsId"),
    context: Context = Depends(context_of),
) -> Response:
    """Return the native XID of a namespace and value, whether or not they were ever seen."""
    if not id:
        raise IdentityQueryInvalid("Missing required query parameter - id", path="id")
    code, number = namespace or ns, nsid or ns_id
    if not code and not number:
        raise IdentityQueryInvalid("Missing required query parameter - namespace", path="namespace")
    found = namespace_named(context, code or number or "", is_number=not code)
    if found is None:
        raise IdentityQueryInvalid(
            f"The provided namespace={code or number} and id={id} is invalid. "
            "Please provide a valid namespace and id in your request.",
            path="namespace",
        )
    return answer({"xid": encode_xid(found.id, normalised(found.id, id))})


def _number(text: str, context: Context) -> int:
    if not text.isdecimal():
        raise NamespaceUnknown(text, context.organization_id)
    return int(text)


def _body(item: Namespace) -> dict[str, Any]:
    return {
        "id": item.id,
        "code": item.code,
        "name": item.name,
        "description": item.description,
        "idType": item.id_type,
        "status": "ACTIVE",
        "custom": item.custom,
        "createTime": item.created_at,
        "updateTime": item.updated_at,
    }
