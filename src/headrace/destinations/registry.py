"""All destinations, by name and by connection spec id; a module is imported only when its destination is used."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from headrace.destinations.base import Context, Destination, NoAuth
from headrace.destinations.errors import AuthSpecUnknown, DestinationUnknown
from headrace.destinations.settings import settings_from

# name: (connection spec id, class)
_BUILT_IN: dict[str, tuple[str, str]] = {
    "amazon_s3": ("4fce964d-3f37-408f-9778-e597338a21ee", "headrace.destinations.amazon_s3:AmazonS3"),
    "data_landing_zone": ("10440537-2a7b-4583-ac39-ed38d4b848e8", "headrace.destinations.data_landing_zone:DataLandingZone"),
    "http_api": ("b165fdf8-b4d6-54a9-a9c4-1a205bef8421", "headrace.destinations.http_api:HttpApi"),
    "sftp": ("36965a81-b1c6-401b-99f8-22508f1e6a26", "headrace.destinations.sftp:Sftp"),
}
_added: dict[str, type[Destination]] = {}


def register(kind: type[Destination]) -> None:
    """Add a destination of a plugin, or of a test; one with the same name replaces it."""
    _added[kind.name] = kind


def unregister(name: str) -> None:
    """Take back what `register` added."""
    _added.pop(name, None)


def is_known(connection_spec_id: str) -> bool:
    """Whether a connection spec id belongs to a destination."""
    return any(spec_id == connection_spec_id for spec_id, _ in _BUILT_IN.values()) or any(
        kind.connection_spec_id == connection_spec_id for kind in _added.values()
    )


def destination(connection_spec_id: str) -> type[Destination]:
    """Return the class with this connection spec id.

    Raises:
        DestinationUnknown: There is none.
    """
    for kind in _added.values():
        if kind.connection_spec_id == connection_spec_id:
            return kind
    for spec_id, path in _BUILT_IN.values():
        if spec_id == connection_spec_id:
            return _loaded(path)
    raise DestinationUnknown(f"No destination has the connection spec id '{connection_spec_id}'.")


def all() -> list[type[Destination]]:
    """Return all destinations, sorted by name."""
    found = {name: _loaded(path) for name, (_, path) in _BUILT_IN.items()} | _added
    return [found[name] for name in sorted(found)]


def open_destination(
    connection_spec_id: str,
    *,
    auth_name: str,
    auth_params: Mapping[str, Any],
    target_params: Mapping[str, Any],
    context: Context,
) -> Destination:
    """Return a destination ready to use; nothing is connected yet.

    Args:
        connection_spec_id: Which destination.
        auth_name: ``auth.specName`` of the base connection; empty when it has none.
        auth_params: ``auth.params`` with the secrets in clear text.
        target_params: ``params`` of the target connection.
        context: What the server gives.

    Raises:
        DestinationUnknown: No destination has this connection spec id.
        AuthSpecUnknown: The destination has no such authentication scheme.
        SettingInvalid: A parameter is missing or wrong.
    """
    kind = destination(connection_spec_id)
    return kind(
        auth=auth_settings(kind, auth_name, auth_params),
        target=settings_from(kind.target_settings, target_params, path="/params"),
        context=context,
    )


def auth_settings(kind: type[Destination], auth_name: str, params: Mapping[str, Any]) -> Any:
    """Return the credentials as settings of the scheme ``auth_name``.

    Raises:
        AuthSpecUnknown: The destination has no such scheme.
        SettingInvalid: A parameter is missing or wrong.
    """
    if not kind.auth_specs or (not auth_name and NoAuth in kind.auth_specs.values()):
        return NoAuth()
    settings = kind.auth_specs.get(auth_name)
    if settings is None:
        known = ", ".join(f"'{name}'" for name in kind.auth_specs)
        raise AuthSpecUnknown(f"{kind.title} has no authentication scheme '{auth_name}'; it has {known}.", path="/auth/specName")
    return settings_from(settings, params, path="/auth/params")


@cache
def _loaded(path: str) -> type[Destination]:
    module, _, name = path.partition(":")
    found: type[Destination] = getattr(importlib.import_module(module), name)
    return found
