"""Which internet addresses are public: those that a stranger may name, and Parley may connect to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# IANA's registries of special addresses, spelt out: what Python's `is_global` says of them changes with its version.
_NOT_PUBLIC_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's own services, in a public range
            "169.254.0.0/16",  # link-local: the metadata of AWS, Google and Azure
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocols' own, and Oracle's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",  # the relays that 6to4 had
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_UNICAST_V6: Final = IPv6Network("2000::/3")
"""All that is public in IPv6. Loopback, link-local, unique local (AWS's metadata), and IPv4-compatible lie outside."""
_NOT_PUBLIC_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols' own, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4, which leads to the IPv4 address inside
            "3fff::/20",
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""How a network without IPv4 names an IPv4 address (RFC 6052): its last four bytes."""


def is_public(address: str) -> bool:
    """Say whether an address, as a socket would connect to it, is one of the public internet.

    An IPv6 address that stands for an IPv4 one is judged by that. What is no address at all is not public.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public_v4(parsed) if isinstance(parsed, IPv4Address) else _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(address.packed[-4:]))
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
