"""Headrace's own additions: the server's health, how far the data is, and its clock."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from headrace.api.body import JsonObject
from headrace.api.context import Context, context_of, services_of
from headrace.api.services import Services
from headrace.api.wire.answer import answer
from headrace.clock import parse_iso
from headrace.errors import InvalidInput

router = APIRouter(prefix="/headrace", tags=["Headrace"])


class InstantInvalid(InvalidInput):
    """The clock was told something that is no instant."""

    code = "instant_invalid"


@router.get("/health")
def get_health(services: Services = Depends(services_of)) -> Response:
    """Tell whether every role runs: 503 until all have come up, then 200, also while one has a fault. Needs no token."""
    health = services.operations.health()
    is_ready = health.pop("is_ready")
    return answer(health, 200 if is_ready else 503, headers=None if is_ready else {"Retry-After": "1"})


@router.get("/progress")
def get_progress(context: Context = Depends(context_of)) -> Response:
    """Tell how far the accepted data has come, and whether everything has gone all the way."""
    return answer(context.services.operations.progress())


@router.post("/clock")
def move_clock(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Move a manual clock forward to ``{"now": <RFC 3339>}``; answers when everything that fell due is done."""
    now = body.get("now")
    if not isinstance(now, str):
        raise InstantInvalid("The body has no 'now'.", path="/now", hint='Send {"now": "2027-01-31T00:00:00Z"}.')
    try:
        now_ms = parse_iso(now)
    except ValueError as error:
        raise InstantInvalid(f"'{now}' is no RFC 3339 instant.", path="/now", hint="Write 2027-01-31T00:00:00Z.") from error
    return answer(context.services.operations.move_clock(now_ms))
