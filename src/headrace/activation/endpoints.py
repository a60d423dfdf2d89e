"""Hosts that a user configures for a destination, judged when they are configured.

Only what can be told without the network: addresses and names of this machine. Names that lead inside are refused by the
transport, at each connection.
"""

import ipaddress
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from headrace.activation.errors import EndpointForbidden
from headrace.destinations.transport.addresses import is_internal

_URLS = ("httpEndpoint", "accessTokenUrl", "endpoint", "url", "connectionUrl")
_HOSTS = ("domain", "host")
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


def check_endpoints(params: Mapping[str, Any], path: str, *, allow_private: bool) -> None:
    """Refuse parameters that lead to an internal address, or over the Internet without encryption.

    Args:
        params: Parameters of a base or target connection.
        path: JSON pointer of the parameters, for errors.
        allow_private: Whether the operator allows internal addresses; then plain ``http`` is allowed too.

    Raises:
        EndpointForbidden: One of them does.
    """
    if allow_private:
        return
    for name in _URLS:
        if isinstance(url := params.get(name), str) and url:
            parts = urlsplit(url)
            _check_host(parts.hostname or "", name, path)
            if parts.scheme == "http":
                raise EndpointForbidden(f"{name} must be an https URL, got '{url}'.", path=f"{path}/{name}")
    for name in _HOSTS:
        if isinstance(host := params.get(name), str) and host:
            _check_host(host, name, path)


def _check_host(host: str, name: str, path: str) -> None:
    text = host.rstrip(".").lower()
    if text in _LOCAL_NAMES or text.endswith(".localhost") or _is_internal_address(text):
        raise EndpointForbidden(
            f"{name} leads to the internal address '{host}'.",
            path=f"{path}/{name}",
            hint="An operator can allow that with the setting `allow_private_destinations`.",
        )


def _is_internal_address(text: str) -> bool:
    try:
        return is_internal(str(ipaddress.ip_address(text.strip("[]"))))
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and 2130706433 are addresses too
        return is_internal(socket.inet_ntoa(socket.inet_aton(text)))
    except OSError:
        return False
