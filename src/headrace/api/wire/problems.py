"""Error bodies: one function per shape that a service of the platform uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from headrace.clock import from_ms, iso_millis

ADOBE_ERRORS = "http://ns.adobe.com/aep/errors/"
_STATUS_WORDS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "PayloadTooLarge",
    414: "UriTooLong",
    415: "UnsupportedMediaType",
    428: "PreconditionRequired",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
}
_DEFAULT_NUMBERS = {400: 1000, 404: 1001, 409: 1002, 403: 1003, 412: 1004}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Everything an error body may need.

    Attributes:
        status: HTTP status.
        message: What is wrong, in one or two sentences.
        request_id: Id of the request.
        now_ms: When it happened (epoch ms).
        title: Short name of the problem; derived from the status when empty.
        wire_code: The service's own code; derived when empty.
        code: Our stable code.
        path: Place in the input, when known.
        hint: Remedy, when known.
        details: Further members for the body.
        retry_after_seconds: Earliest useful time of the next attempt, when known.
        sub_errors: One text for each single cause, when there are several.
        request_path: Path of the request.
        organization_id: Organisation of the caller, empty before it is known.
        sandbox: Wire form of the sandbox, empty before it is known.
    """

    status: int
    message: str
    request_id: str
    now_ms: int
    title: str = ""
    wire_code: str = ""
    code: str = ""
    path: str | None = None
    hint: str | None = None
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    retry_after_seconds: float | None = None
    sub_errors: tuple[str, ...] = ()
    request_path: str = ""
    organization_id: str = ""
    sandbox: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def heading(self) -> str:
        """The title, or the status in words."""
        return self.title or self.status_word

    @property
    def status_word(self) -> str:
        """The status as one camel-case word."""
        return _STATUS_WORDS.get(self.status, "Error")

    def numbered(self, prefix: str) -> str:
        """Return the service's code: ``CTLG-1001-404``; a code without the status at its end gets it."""
        code = self.wire_code or f"{prefix}-{_DEFAULT_NUMBERS.get(self.status, 1099)}"
        return code if code[-4:-3] == "-" and code[-3:].isdigit() else f"{code}-{self.status}"


Shape = Callable[[Fault], Any]


def with_pointer(body: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """Return the body with the member that names the field and the remedy, when they are known."""
    pointer = {name: value for name, value in (("path", fault.path), ("hint", fault.hint)) if value}
    return {**body, "headrace": pointer} if pointer else body


def gateway(fault: Fault) -> dict[str, Any]:
    """The body of the platform's gateway."""
    code = fault.wire_code if fault.wire_code.isdigit() else f"{fault.status}000"
    return {"error_code": code, "message": fault.message}


def problem(prefix: str) -> Shape:
    """Return the shape of a plain problem with codes ``PREFIX-n-status``."""

    def body(fault: Fault) -> dict[str, Any]:
        return {
            "type": f"{ADOBE_ERRORS}{fault.numbered(prefix)}",
            "title": fault.heading,
            "status": fault.status,
            "detail": fault.message,
            "report": {"requestId": fault.request_id, **fault.details},
        }

    return body


def chained(prefix: str) -> Shape:
    """Return the shape of a problem that carries an error chain."""
    plain = problem(prefix)

    def body(fault: Fault) -> dict[str, Any]:
        link = {"serviceId": prefix, "errorCode": fault.numbered(prefix), "unixTimeStampMs": fault.now_ms}
        return {**plain(fault), "error-chain": [link]}

    return body


def schema_registry(fault: Fault) -> dict[str, Any]:
    """Schema Registry; a code that is a URI itself is the type as it stands, and single causes nest the same shape."""
    return _registry_problem(fault, fault.message, [_registry_problem(fault, text, []) for text in fault.sub_errors])


def _registry_problem(fault: Fault, message: str, causes: list[dict[str, Any]]) -> dict[str, Any]:
    is_uri = fault.wire_code.startswith(("urn:", "/"))
    return {
        "type": fault.wire_code if is_uri else f"{ADOBE_ERRORS}{fault.numbered('XDM')}",
        "title": fault.heading,
        "status": fault.status,
        "report": {
            "registryRequestId": fault.request_id,
            "timestamp": from_ms(fault.now_ms).strftime("%m-%d-%Y %H:%M:%S"),
            "detailed-message": message,
            "sub-errors": causes,
        },
        "detail": message,
    }


def dataset_service(fault: Fault) -> dict[str, Any]:
    """Dataset Service (labels)."""
    if fault.status == 409:
        violations = list(fault.details.get("violations", ()))
        return {"code": "PES-409", "message": fault.message, "violations": violations, "count": len(violations)}
    return {
        "timestamp": from_ms(fault.now_ms).isoformat(sep=" ", timespec="microseconds"),
        "status": _words(fault.status_word),
        "code": f"PES-{fault.status}",
        "message": fault.message,
        "path": fault.details.get("path", fault.request_path),
    }


def _words(camel: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() and index else letter for index, letter in enumerate(camel)).upper()


def streaming(fault: Fault) -> dict[str, Any]:
    """Streaming ingestion."""
    if fault.status == 401:
        kind = "https://ns.adobe.com/adobecloud/problem/data-collection-service-authorization"
        return {"type": kind, "status": "401", "title": "Authorization", "report": {"message": fault.message}}
    return {
        "type": "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet",
        "status": fault.status,
        "title": fault.heading,
        "report": {"message": fault.message, **fault.details},
    }


_NAMESPACE_WORDS = {404: "NAMESPACE_NOT_FOUND", 500: "INTERNAL_SERVER_ERROR"}


def namespaces(fault: Fault) -> dict[str, Any]:
    """Identity namespaces."""
    word = str(fault.details.get("error") or _NAMESPACE_WORDS.get(fault.status, ""))
    report_code = fault.details.get("report_code") or word or "INVALID_REQUEST_PARAMS"
    kind = "http://ns.adobe.com/adobecloud/problem/namespacevalidation"
    body: dict[str, Any] = {
        "timestamp": iso_millis(fault.now_ms),
        "type": kind if fault.status == 400 else f"{ADOBE_ERRORS}{fault.numbered('UIS')}",
        "status": fault.status,
        "title": fault.title or ("Namespace validation" if fault.status == 400 else fault.heading),
        "description": fault.message,
        "report": {"code": report_code},
    }
    return {**body, "error": word} if word else body


_IDENTITY_TITLES = {400: "InvalidInput", 429: "RequestRateTooLarge", 500: "InternalServerError"}


def identity(fault: Fault) -> dict[str, Any]:
    """Identity reads: clusters, mappings, XIDs."""
    title = fault.title or _IDENTITY_TITLES.get(fault.status, fault.heading)
    return {"title": title, "status": fault.status, "detail": fault.message, "description": fault.message}


def identity_graph(fault: Fault) -> dict[str, Any]:
    """Identity graphs: what is wrong with a request has a shape of its own."""
    if fault.status == 400:
        reason = f"Validation error Request id: {fault.request_id}"
        return {"reason": reason, "message": f"Graph Request Invalid - {fault.message}"}
    return identity(fault)


def profile(fault: Fault) -> Any:
    """Profile access: the status is a string, and too many requests are a list."""
    status = str(fault.status)
    if fault.status == 429:
        wait_ms = str(round((fault.retry_after_seconds or 1) * 1000))
        return [{"message": fault.message, "cause": fault.message, "retryAfterMs": wait_ms, "statusCode": status}]
    message = f"{fault.wire_code}:{fault.message}" if fault.wire_code else fault.message
    return {"message": message, "cause": f"Status Code - {status} : {fault.message}", "statusCode": status}


def ups(fault: Fault) -> Any:
    """Profile configuration and segmentation."""
    if fault.status == 429:
        return profile(fault)
    code = fault.wire_code or "UPAPI-113000"
    code = fault.numbered("UPAPI") if fault.wire_code else f"{code}-{fault.status}"
    return {
        "requestId": fault.request_id,
        "errors": {str(fault.status): [{"code": code, "message": text} for text in fault.sub_errors or (fault.message,)]},
        "type": f"https://ns.adobe.com/aep/errors/{code}",
        "title": fault.message,
        "status": fault.status,
    }


def flow(fault: Fault) -> dict[str, Any]:
    """Flow Service; a wrong spec id has the message alone."""
    if fault.code == "flow_spec_invalid":
        return message(fault)
    return {"errorMessage": fault.message, "errorDetails": fault.message, **fault.details}


def message(fault: Fault) -> dict[str, Any]:
    """Ad-hoc activation: the message alone."""
    return {"message": fault.message}


def authoring(fault: Fault) -> dict[str, Any]:
    """Destination authoring."""
    errors = fault.details.get("errors") or [{"path": fault.path or "", "message": fault.message}]
    return {"status": fault.status, "title": fault.heading, "detail": fault.message, "errors": errors}


def policy(fault: Fault) -> dict[str, Any]:
    """Policy Service; a conflict lists its violations."""
    body = {"type": "/placeholder/type/uri", "status": fault.status, "title": fault.heading, "detail": fault.message}
    return {**body, **fault.details}


def hygiene(fault: Fault) -> dict[str, Any]:
    """Data hygiene: problems of the service when it has a code of its own, the gateway's body otherwise."""
    if not fault.wire_code.startswith("HYGN"):
        return gateway(fault)
    tenant = {
        "sandboxName": fault.sandbox.get("name", ""),
        "sandboxId": fault.sandbox.get("id", ""),
        "imsOrgId": fault.organization_id,
    }
    code = fault.numbered("HYGN")
    return {
        "type": f"{ADOBE_ERRORS}{code}",
        "title": fault.heading,
        "status": fault.status,
        "detail": fault.message,
        "report": {"tenantInfo": tenant, "additionalContext": dict(fault.details) or None, "requestId": fault.request_id},
        "error-chain": [{"serviceId": "HYGN", "errorCode": code, "invokingServiceId": "HYGN", "unixTimeStampMs": fault.now_ms}],
    }


def observability(fault: Fault) -> dict[str, Any]:
    """Observability Insights."""
    code = fault.wire_code or f"OI-{fault.status}"
    return {"errorCode": code, "httpStatus": fault.status, "title": fault.heading, "details": fault.message}


def oauth(fault: Fault) -> dict[str, Any]:
    """The token endpoint."""
    fallback = "invalid_request" if fault.status < 500 else "server_error"
    return {"error": fault.wire_code or fallback, "error_description": fault.message}


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "gateway": gateway,
        "schema_registry": schema_registry,
        "catalog": problem("CTLG"),
        "ingestion": problem("ING"),
        "data_access": problem("DAS"),
        "dataset_service": dataset_service,
        "streaming": streaming,
        "namespaces": namespaces,
        "identity": identity,
        "identity_graph": identity_graph,
        "profile": profile,
        "ups": ups,
        "flow": flow,
        "adhoc": message,
        "authoring": authoring,
        "policy": policy,
        "privacy": chained("PRIV"),
        "sandboxes": chained("SMS"),
        "tooling": chained("EXIM"),
        "mapper": chained("MAPPER"),
        "access_control": chained("PDP"),
        "audit": chained("AUDIT"),
        "hygiene": hygiene,
        "observability": observability,
        "oauth": oauth,
        "headrace": problem("HR"),
    }
)
"""Name → shape; the table of services in `headrace.api.build` refers to the names."""
