"""Which addresses a configured host may lead to.

A host that a user configures must not reach the inside of the operator's network. The addresses are judged after name
resolution and the connection goes to the very address that was judged, so a name that changes in between (DNS rebinding)
gains nothing.
"""

import asyncio
import ipaddress
import socket

from headrace.destinations.errors import AddressForbidden, DestinationUnreachable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses of ``host``, best first; all of them may be connected to.

    Raises:
        DestinationUnreachable: The name has no address.
        AddressForbidden: One of its addresses is internal, and that is not allowed here.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DestinationUnreachable(f"Host '{host}' has no address: {error}.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        for address in addresses:
            if is_internal(address):
                raise AddressForbidden(
                    f"Host '{host}' leads to the internal address {address}.",
                    hint="An operator can allow that with the setting `allow_private_destinations`.",
                )
    return addresses


def is_internal(address: str) -> bool:
    """Whether an IP address is loopback, private, link-local, multicast or otherwise not part of the public Internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if parsed in _NAT64:
            embedded = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if embedded is not None:
            return not embedded.is_global or embedded.is_multicast
    return not parsed.is_global or parsed.is_multicast
