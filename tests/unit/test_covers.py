"""Which hosts a certificate covers: label by label, number by number."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.certificates import Certificate

LABEL = st.sampled_from(["a", "b", "A", "*", "zk1", "x-y"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
HOST = st.lists(LABEL.filter(lambda label: label != "*"), min_size=1, max_size=4).map(".".join)
ADDRESS = st.sampled_from(
    ["10.0.0.1", "10.0.0.2", "::1", "0:0:0:0:0:0:0:1", "::ffff:10.0.0.1", "fe80::1%eth0", "fe80::1"]
)


def number(text: str) -> tuple[int, int]:
    """(4 or 6, the address as a number); an IPv4 address in IPv6's clothes is an IPv4 address. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    value = int(address)
    return (4, value & 0xFFFFFFFF) if address.version == 4 or value >> 32 == 0xFFFF else (6, value)


def covered(names: list[str], addresses: list[str], host: str) -> bool:
    """Label by label, number by number."""
    try:
        return number(host) in [number(a) for a in addresses]
    except ValueError:
        pass
    labels = host.lower().split(".")
    for name in names:
        own = name.lower().split(".")
        wild = own[0] == "*" and len(labels) > 1
        if len(own) == len(labels) and own[wild:] == labels[wild:]:
            return True
    return False


@given(st.lists(NAME, max_size=3), st.lists(ADDRESS, max_size=3), HOST | ADDRESS)
def test_which_hosts_a_certificate_covers(names: list[str], addresses: list[str], host: str) -> None:
    one = Certificate("", "", 0, 0, "", "", tuple(names), tuple(addresses))
    assert one.covers(host) == covered(names, addresses, host)
