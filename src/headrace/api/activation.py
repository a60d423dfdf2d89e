"""Exports on demand, and the Data Landing Zone."""

import secrets
from typing import Any

from fastapi import APIRouter, Body, Depends
from starlette.responses import Response

from headrace.activation.errors import EntityInvalid, RunRefused
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer
from headrace.clock import iso_seconds

router = APIRouter(tags=["Activation"])

_ZONE = "/data/foundation/connectors/landingzone"
_ZONE_TYPES = ("user_drop_zone", "dlz_destination")
_DAY_MS = 86_400_000
KEPT_DAYS = 7


@router.post("/data/core/activation/disflowprovider/adhocrun")
def run_ad_hoc(body: dict[str, Any] = Body(), context: Context = Depends(context_of)) -> Response:
    """Export audiences of file dataflows now."""
    orders = context.services.flow_service.exports.order(context.sandbox, body.get("activationInfo"), context.user_id)
    base = f"{context.origin}/data/foundation/flowservice/runs"
    shown = [{"segment": order.audience_id, "order": order.flow_id, "statusURL": f"{base}/{order.run_id}"} for order in orders]
    if not shown:
        raise RunRefused("activationInfo names no audience.", path="/activationInfo")
    return answer({"order": shown})


@router.get(_ZONE)
def get_landing_zone(type: str = "user_drop_zone", context: Context = Depends(context_of)) -> Response:
    """Retrieve the container of the sandbox's landing zone."""
    _check_type(type)
    return answer({"containerName": context.sandbox.name, "containerTTL": str(KEPT_DAYS)})


@router.get(f"{_ZONE}/credentials")
def get_landing_zone_credentials(
    type: str = "user_drop_zone",
    context: Context = Depends(context_of),
) -> Response:
    """Retrieve what is needed to reach the landing zone."""
    return _credentials(type, context)


@router.post(f"{_ZONE}/credentials")
def refresh_landing_zone_credentials(
    type: str = "user_drop_zone",
    action: str = "refresh",
    context: Context = Depends(context_of),
) -> Response:
    """Issue credentials anew."""
    if action != "refresh":
        raise EntityInvalid(f"action must be refresh, got '{action}'.", path="action")
    return _credentials(type, context)


def _credentials(zone_type: str, context: Context) -> Response:
    """Return the place of the zone: a folder of the server, which its file system's permissions guard, not the token."""
    _check_type(zone_type)
    folder = (context.services.settings.home / "landing-zone" / context.sandbox.name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    expires = iso_seconds(context.services.clock.now_ms() + KEPT_DAYS * _DAY_MS)
    return answer(
        {
            "containerName": context.sandbox.name,
            "storageAccountName": "headrace",
            "SASToken": f"se={expires}&sig={secrets.token_urlsafe(32)}",
            "SASUri": folder.as_uri(),
            "expiryDate": expires,
        }
    )


def _check_type(zone_type: str) -> None:
    if zone_type not in _ZONE_TYPES:
        raise EntityInvalid(f"type must be one of {', '.join(_ZONE_TYPES)}, got '{zone_type}'.", path="type")
