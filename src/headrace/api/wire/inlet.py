"""Answers of streaming ingestion, byte for byte: problem bodies have their own types here, one of them with a textual status."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from headrace.errors import Denied, HeadraceError, InvalidInput, NotFound, Transient
from headrace.ingest.inlets import Inlet
from headrace.ingest.refusals import MessageInvalid, ServiceTokenMissing
from headrace.schemas import Violation

JSON = (b"content-type", b"application/json")

_INLET_PROBLEM = "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet"
_TOKEN_PROBLEM = "https://ns.adobe.com/adobecloud/problem/data-collection-service-authorization"  # noqa: S105 - a type, no token
_SKIPPED = b'{"inletId":"%b","xactionId":"%d:%d:%d","receivedTimeMs":%d,"syncValidation":{"skipped":true}}'
_PASSED = b'{"inletId":"%b","xactionId":"%d:%d:%d","receivedTimeMs":%d,"syncValidation":{"status":"pass"}}'
_LEAST_RETRY_SECONDS = 1


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What is sent back; content type, length and request id are added."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class PathUnknown(NotFound):
    """The path belongs to no operation of the inlet."""

    code = "inlet_path_unknown"
    wire_code = "404003"


class MethodNotAllowed(InvalidInput):
    """An inlet takes only POST."""

    code = "inlet_method_not_allowed"
    wire_code = "405000"


def accepted(inlet: Inlet, now_ms: int, process: int, number: int, *, is_synchronous: bool) -> Answer:
    """Return the answer to one message that is on disk."""
    form = _PASSED if is_synchronous else _SKIPPED
    return Answer(200, form % (inlet.id.encode(), now_ms, process, number, now_ms))


def batch_accepted(inlet: Inlet, now_ms: int, process: int, number: int, refusals: Sequence[HeadraceError | None]) -> Answer:
    """Return the answer to a batch: one entry per message, same order."""
    batch_id = b"%d:%d:%d" % (now_ms, process, number)
    entries = [
        b'{"xactionId":"%b:%d"}' % (batch_id, index) if error is None else _refused_entry(inlet, error)
        for index, error in enumerate(refusals)
    ]
    form = b'{"inletId":"%b","batchId":"%b","receivedTimeMs":%d,"responses":[%b]}'
    return Answer(207, form % (inlet.id.encode(), batch_id, now_ms, b",".join(entries)))


def refusal(error: HeadraceError, inlet_id: str, inlet: Inlet | None) -> Answer:
    """Return the answer to a request that was not accepted."""
    if isinstance(error, PathUnknown | MethodNotAllowed):
        return _gateway_refusal(error)
    status = _status_of(error)
    body: dict[str, Any]
    if isinstance(error, ServiceTokenMissing):
        text = f"[{_printable(inlet_id)}] {error.message}"
        body = {"type": _TOKEN_PROBLEM, "status": str(status), "title": "Authorization", "report": {"message": text}}
    else:
        report: dict[str, Any] = {"message": _sentence(error.message, inlet_id, inlet)}
        if isinstance(error, MessageInvalid):
            report["cause"] = {"_streamingValidation": [_cause(error.violations)]}
        body = {"type": _INLET_PROBLEM, "status": status, "title": _title(error, status), "report": report}
        if error.path is not None or error.hint is not None:
            place = {"path": error.path, "hint": error.hint}
            body["headrace"] = {name: _printable(value) for name, value in place.items() if value is not None}
    return Answer(status, msgspec.json.encode(body), _retry_after(error))


def _gateway_refusal(error: PathUnknown | MethodNotAllowed) -> Answer:
    body = msgspec.json.encode({"error_code": error.wire_code, "message": _printable(error.message)})
    allow = ((b"allow", b"POST"),) if isinstance(error, MethodNotAllowed) else ()
    return Answer(int(error.wire_code[:3]), body, allow)


def _refused_entry(inlet: Inlet, error: HeadraceError) -> bytes:
    return msgspec.json.encode({"statusCode": _status_of(error), "message": _sentence(error.message, inlet.id, inlet)})


def _status_of(error: HeadraceError) -> int:
    own = getattr(error, "wire_status", None)
    if own is not None:
        return int(own)
    if isinstance(error, Transient):
        return 503
    if isinstance(error, InvalidInput):
        return 400
    return 403 if isinstance(error, Denied) else 500


def _title(error: HeadraceError, status: int) -> str:
    own: str | None = getattr(error, "wire_title", None)
    return own or HTTPStatus(status).phrase


def _sentence(text: str, inlet_id: str, inlet: Inlet | None) -> str:
    organization = inlet.sandbox.organization_id if inlet is not None else ""
    return f"inletId: [{_printable(inlet_id)}] imsOrgId: [{organization}] {_printable(text)}"


def _printable(text: str) -> str:
    # A path or a key can hold a lone surrogate, which no JSON text can.
    return text.encode("utf-8", "replace").decode()


def _retry_after(error: HeadraceError) -> tuple[tuple[bytes, bytes], ...]:
    if not isinstance(error, Transient):
        return ()
    seconds = max(_LEAST_RETRY_SECONDS, round(error.retry_after_seconds or 0))
    return ((b"retry-after", b"%d" % seconds),)


def _cause(violations: Sequence[Violation]) -> dict[str, Any]:
    entries = [
        {
            "schemaLocation": violation.schema_location,
            "pointerToViolation": violation.pointer,
            "causingExceptions": [],
            "keyword": violation.keyword,
            "message": violation.message,
        }
        for violation in violations
    ]
    if len(entries) == 1:
        return entries[0]
    return {
        "schemaLocation": "#",
        "pointerToViolation": "#",
        "message": f"{len(entries)} schema violations found",
        "causingExceptions": entries,
    }
