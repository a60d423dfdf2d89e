"""Wire forms of segment definitions and audiences. Source: Segmentation Service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.audience.definition import (
    BATCH,
    EDGE,
    EXTERNAL,
    PQL_NAMESPACE,
    PQL_ORIGIN,
    PROFILE_SCHEMA,
    SEGMENT,
    STREAMING,
    Audience,
    Definition,
    Expression,
)
from headrace.audience.errors import AudienceInvalid, AudienceRefused
from headrace.audience.lifecycle import state_named
from headrace.model import Sandbox

Json = dict[str, Any]
METHOD_FLAGS = {BATCH: "batch", STREAMING: "continuous", EDGE: "synchronous"}
_PROFILE_UNION = "https://ns.adobe.com/xdm/context/profile__union"
_PATCHABLE = (
    "name",
    "description",
    "expression",
    "mergePolicyId",
    "ttlInDays",
    "labels",
    "tags",
    "lifecycleState",
    "linkedAudienceRef",
    "evaluationInfo",
    "audienceMeta",
)

# --- wire to definition ---------------------------------------------------------------------------------------------------


def definition_of(body: Any, base: Definition | None = None, *, user_id: str = "") -> Definition:
    """Return the definition that a body describes.

    Args:
        body: A segment definition or an audience, as a client sends it; members that only the server sets are ignored.
        base: The present definition; members that the body lacks stay as they are there. None for a new one.
        user_id: Technical account that calls.

    Raises:
        AudienceInvalid: A member is missing or has the wrong shape.
        AudienceRefused: The life cycle has no such state.
    """
    if not isinstance(body, dict):
        raise AudienceInvalid("An audience is a JSON object.", path="/")
    kind = _kind(body, base)
    if base is None:
        _check_mandatory(body, kind)
        base = Definition(name="", kind=kind, created_by=user_id)
        if kind == EXTERNAL:
            base = msgspec.structs.replace(base, namespace="", origin="CUSTOM_UPLOAD", governance={})
    changes: Json = {"updated_by": user_id, "kind": kind}
    for name, (member, read) in _MEMBERS.items():
        if name in body and body[name] is not None:
            changes[member] = read(body[name], name)
    if kind == SEGMENT:
        changes |= {"namespace": PQL_NAMESPACE, "origin": PQL_ORIGIN}
        changes.pop("audience_id", None)
    return msgspec.structs.replace(base, **changes)


def patched_definition(operations: Any, base: Definition, *, user_id: str = "") -> Definition:
    """Return a definition after a JSON Patch, whose operations only add.

    Raises:
        AudienceRefused: An operation is not ``add``, or its path cannot be patched.
        AudienceInvalid: A value has the wrong shape.
    """
    if not isinstance(operations, list) or not operations:
        raise AudienceInvalid("A patch of an audience is an array of operations.", path="/")
    body: Json = {}
    for index, operation in enumerate(operations):
        name, value = _operation(operation, index)
        body[name] = value
    return definition_of(body, base, user_id=user_id)


def _operation(operation: Any, index: int) -> tuple[str, Any]:
    if not isinstance(operation, dict) or str(operation.get("op", "")).lower() != "add":
        raise AudienceRefused(f"Operation {index}: 'op' must be 'add'.", path=f"/{index}/op")
    name = str(operation.get("path", "")).lstrip("/")
    if name not in _PATCHABLE:
        known = ", ".join(f"/{item}" for item in _PATCHABLE)
        raise AudienceRefused(
            f"Operation {index}: path '{operation.get('path')}' cannot be patched.", hint=f"Use one of {known}."
        )
    if "value" not in operation:
        raise AudienceRefused(f"Operation {index} has no value.", path=f"/{index}/value")
    return name, operation["value"]


def _kind(body: Mapping[str, Any], base: Definition | None) -> str:
    named = body.get("type")
    if named in (EXTERNAL, "ExternalAudience"):
        return EXTERNAL
    if named is None and base is not None:
        return base.kind
    if named in (None, SEGMENT):
        return SEGMENT
    raise AudienceInvalid(f"type cannot be '{named}'; it is {SEGMENT} or {EXTERNAL}.", path="/type")


def _check_mandatory(body: Mapping[str, Any], kind: str) -> None:
    wanted: tuple[str, ...] = ("name", "audienceId", "namespace") if kind == EXTERNAL else ("name", "expression")
    missing = [name for name in wanted if body.get(name) in (None, "", {})]
    if missing:
        error = AudienceInvalid(f"Mandatory field '{missing[0]}' is missing.", path=f"/{missing[0]}")
        error.sub_errors = tuple(f"Mandatory field '{name}' is missing." for name in missing)  # type: ignore[attr-defined]
        raise error


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise AudienceInvalid(f"'{name}' must be a string.", path=f"/{name}")
    return value


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise AudienceInvalid(f"'{name}' must be an object.", path=f"/{name}")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise AudienceInvalid(f"'{name}' must be an array of strings.", path=f"/{name}")
    return tuple(value)


def _days(value: Any, name: str) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(value) < 1:
        raise AudienceInvalid(f"'{name}' must be a number of days from 1.", path=f"/{name}")
    return int(value)


def _expression(value: Any, name: str) -> Expression:
    wire = _object(value, name)
    text, form = wire.get("value"), wire.get("format", "pql/text")
    if isinstance(text, dict) and form == "pql/json":
        text = msgspec.json.encode(text).decode()
    if not isinstance(text, str) or not text.strip():
        raise AudienceInvalid("The expression needs a value.", path="/expression/value")
    if form not in ("pql/text", "pql/json"):
        raise AudienceInvalid(f"The expression's format is '{form}'; it is pql/text or pql/json.", path="/expression/format")
    return Expression(text, form, str(wire.get("type", "PQL")))


def _schema(value: Any, name: str) -> str:
    wire = _object(value, name)
    return str(wire.get("name") or (PROFILE_SCHEMA if "profile" in str(wire.get("id", "")) else wire.get("id", "")))


def _requested(value: Any, name: str) -> str:
    wire = _object(value, name)
    enabled = [method for method, flag in METHOD_FLAGS.items() if _is_enabled(wire.get(flag))]
    # Of two flags the faster one counts: that is how such definitions are evaluated.
    return enabled[-1] if enabled else ""


def _is_enabled(flag: Any) -> bool:
    return isinstance(flag, dict) and str(flag.get("enabled")).lower() == "true"


def _state(value: Any, name: str) -> str:
    del name
    return state_named(value)


_MEMBERS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "name": ("name", _text),
    "description": ("description", _text),
    "expression": ("expression", _expression),
    "schema": ("schema_name", _schema),
    "mergePolicyId": ("merge_policy_id", _text),
    "ttlInDays": ("ttl_days", _days),
    "labels": ("labels", _texts),
    "tags": ("tags", _texts),
    "lifecycleState": ("lifecycle_state", _state),
    "evaluationInfo": ("requested", _requested),
    "dataGovernancePolicy": ("governance", _object),
    "linkedAudienceRef": ("linked", _object),
    "audienceMeta": ("meta", _object),
    "namespace": ("namespace", _text),
    "audienceId": ("audience_id", _text),
    "originName": ("origin", _text),
    "datasetId": ("dataset_id", _text),
    "sourceId": ("source_id", _text),
}

# --- definition to wire ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """What the wire shows of an audience beside the audience itself.

    Attributes:
        sandbox: Its sandbox.
        dependents: Ids of the audiences that use it.
    """

    sandbox: Sandbox
    dependents: tuple[str, ...] = ()


def sandbox_body(sandbox: Sandbox) -> Json:
    """Return the wire form of a sandbox inside another object."""
    return {
        "sandboxId": sandbox.id,
        "sandboxName": sandbox.name,
        "type": sandbox.type,
        "default": sandbox.is_default,
    }


def segment_body(audience: Audience, sandbox: Sandbox) -> Json:
    """Return an audience as a segment definition."""
    definition = audience.definition
    body: Json = {
        "id": audience.id,
        "schema": {"name": definition.schema_name},
        "ttlInDays": definition.ttl_days,
        "profileInstanceId": "ups",
        "imsOrgId": sandbox.organization_id,
        "sandbox": sandbox_body(sandbox),
        "name": definition.name,
        "description": definition.description,
        "mergePolicyId": audience.merge_policy_id,
        "evaluationInfo": _evaluation_info(audience),
        "dataGovernancePolicy": definition.governance,
        "lifecycleState": definition.lifecycle_state,
        "version": audience.version,
        "dependencies": list(audience.dependencies),
        "createdBy": definition.created_by,
        **times(audience.created_at, audience.updated_at),
    }
    if definition.expression is not None:
        body["expression"] = msgspec.to_builtins(definition.expression)
        body["headrace"] = {"evaluation": evaluation_body(audience)}
    if definition.labels:
        body["labels"] = list(definition.labels)
    if definition.tags:
        body["tags"] = list(definition.tags)
    return body


def audience_body(audience: Audience, shown: Shown) -> Json:
    """Return an audience as the audiences endpoint shows it."""
    definition = audience.definition
    body = {
        **segment_body(audience, shown.sandbox),
        "type": definition.kind,
        "audienceId": definition.audience_id or audience.id,
        "namespace": definition.namespace,
        "originName": definition.origin,
        "isSystem": False,
        "saveSegmentMembership": True,
        "state": "enabled",
        "overridePerformanceWarnings": False,
        "lastModifiedBy": definition.updated_by,
        "dependents": list(shown.dependents),
        "definedOn": [{"meta:resourceType": "unions", "meta:containerId": "tenant", "$ref": _PROFILE_UNION}],
    }
    if audience.is_external:
        optional = {"datasetId": definition.dataset_id, "sourceId": definition.source_id, "audienceMeta": definition.meta}
        body |= {name: value for name, value in optional.items() if value}
    if definition.linked:
        body["linkedAudienceRef"] = definition.linked
    return body


def live_metrics(audience_id: str, members: int, now_ms: int) -> Json:
    """Return the size of an audience as its metrics; it is counted live, with every change of a membership."""
    data = {"totalProfiles": members, "totalProfilesByStatus": {"realized": members}}
    return {"type": "live", "id": audience_id, "data": data, "createEpoch": now_ms // 1000, "updateEpoch": now_ms // 1000}


def evaluation_body(audience: Audience) -> Json:
    """Return how an audience is evaluated, with the reasons."""
    evaluation = audience.evaluation
    requested = audience.definition.requested
    return {
        "method": evaluation.method,
        "requested": requested or None,
        "class": evaluation.query_class or None,
        "reasons": [msgspec.to_builtins(reason) for reason in evaluation.unmet(requested)],
        "advice": [msgspec.to_builtins(item) for item in evaluation.advice],
    }


def explained_body(audience: Audience) -> Json:
    """Return everything about the choice of an audience's method."""
    evaluation = audience.evaluation
    return {
        "id": audience.id,
        "version": audience.version,
        **evaluation_body(audience),
        "rules": evaluation.rules,
        "lookbackMs": evaluation.lookback_ms,
        "dependencies": list(evaluation.dependencies),
        "methods": {
            "batch": {"isPossible": True, "reasons": []},
            "streaming": _possible(evaluation.streaming_reasons),
            "edge": _possible(evaluation.streaming_reasons or evaluation.edge_reasons),
        },
    }


def _possible(reasons: tuple[Any, ...]) -> Json:
    return {"isPossible": not reasons, "reasons": [msgspec.to_builtins(reason) for reason in reasons]}


def _evaluation_info(audience: Audience) -> Json:
    return {flag: {"enabled": audience.method == method} for method, flag in METHOD_FLAGS.items()}


def times(created_at: int, updated_at: int) -> Json:
    """Return the four stamps of an object: in milliseconds and in seconds."""
    return {
        "creationTime": created_at,
        "createEpoch": created_at // 1000,
        "updateEpoch": updated_at // 1000,
        "updateTime": updated_at,
    }
