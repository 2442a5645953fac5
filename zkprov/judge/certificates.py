"""The gate of TLS: one posture, stores that ZooKeeper takes, certificates that are valid, name their server and are trusted by the others.

ZooKeeper itself starts with most of what is refused here, and fails at the first handshake (FACTS): a joiner would stay out for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime

import msgspec

from zkprov.judge.chains import leads_to
from zkprov.judge.gates import listed, unseen
from zkprov.judge.picture import WILDCARDS, Picture
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.certificates import (
    LOCATIONS,
    Certificate,
    KeyForm,
    KeyStore,
    Stores,
    TrustStore,
    client_tls,
    is_address,
    quorum_tls,
    tls_settings,
)
from zkprov.model.inventory import InventoryHost
from zkprov.model.release import Release
from zkprov.model.server import Server

GATE = "certificates"
NO_TLS = "no TLS"
SOURCES = ("zoo.cfg on disk", "key and trust stores on each host")
SOON_S = 30 * 86400
"""How long before its end a certificate is told as a warning."""
KINDS = (".pem", ".jks", ".p12", ".bcfks")
"""What ZooKeeper tells the kind of a store by (`KeyStoreFileType`)."""


class Secured(msgspec.Struct, frozen=True):
    """A server with its TLS settings and stores. `new`: it is to come; then its settings are the inventory's. `release`: where known."""

    label: str
    addresses: tuple[str, ...]
    settings: Mapping[str, str]
    stores: Stores
    release: Release | None = None
    new: bool = False

    @property
    def quorum(self) -> bool:
        return quorum_tls(self.settings)

    @property
    def clients(self) -> bool:
        return client_tls(self.settings)

    @property
    def wants_names(self) -> bool:
        """Whether other servers' certificates are to name them, by its settings."""
        return self.settings.get("ssl.quorum.hostnameVerification", "true").strip().lower() != "false"

    @property
    def compares_names(self) -> bool:
        """Whether it does compare them: not in FIPS mode, the default from 3.9 on (measured on 3.9.5)."""
        default = "true" if self.release is None or self.release.line >= (3, 9) else "false"
        return self.wants_names and self.settings.get("fips-mode", default).strip().lower() == "false"


class Asked(msgspec.Struct, frozen=True):
    """By which addresses others know a server that its certificate is to cover; None: nobody asks. `strictly`: else it is a warning."""

    addresses: tuple[str, ...] | None
    strictly: bool


class Finding(msgspec.Struct, frozen=True):
    """One thing about one server. `fails`: False for a warning, None for what cannot be told."""

    server: str
    what: str
    remedy: str = ""
    fails: bool | None = True

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.server, self.what)


def certificates(picture: Picture, purpose: Purpose) -> GateResult:
    """Of the members, by the disks that could be read, at the time of the survey."""
    servers, unread = _members(picture)
    return _weighed(servers, unread, picture.survey.began, required=purpose is Purpose.CHANGE)


def joiner_certificates(picture: Picture, host: InventoryHost, server: Server, stores: Stores) -> GateResult:
    """Of the members and the joiner together. `stores`: those that the inventory names for it, as they lie on its host."""
    servers, unread = _members(picture)
    return _weighed([*servers, _to_come(host, server, stores)], unread, picture.survey.began)


def founders_certificates(hosts: Sequence[tuple[InventoryHost, Stores]], now_s: float) -> GateResult:
    """Of servers none of which is there yet. `now_s`: in seconds since 1970."""
    return _weighed([_to_come(host, None, stores) for host, stores in hosts], [], now_s)


def _members(picture: Picture) -> tuple[list[Secured], list[Evidence]]:
    servers, unread = [], []
    for server, facts in listed(picture):
        disk = facts.disk.value if facts else None
        if facts is None or disk is None:
            unread.append(unseen(picture, server, facts, *((facts.disk,) if facts else ())))
        else:
            release = Release.read(facts.srvr.value.release) if facts.srvr.value else None
            servers.append(Secured(picture.label(facts), _addresses(server), disk.settings, disk.stores, release))
    return servers, unread


def _to_come(host: InventoryHost, server: Server | None, stores: Stores) -> Secured:
    addresses = _addresses(server) if server else (host.address,)
    return Secured(host.name, addresses, tls_settings(host), stores, Release.read(host.release or ""), new=True)


def _addresses(server: Server) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a.host for a in server.addresses if a.host not in WILDCARDS))


def _weighed(
    servers: Sequence[Secured], unread: Sequence[Evidence], now_s: float, *, required: bool = True
) -> GateResult:
    if not any(s.quorum or s.clients for s in servers):
        return weighed(GATE, [], [], NO_TLS, SOURCES, required=required)
    found = [*_postures(servers)] or [*_each(servers, now_s), *_trusts(servers, now_s)]
    failed = [f for f in found if f.fails]
    unknown = [f for f in found if f.fails is None]
    warned = [f.evidence for f in found if f.fails is False]
    which = " and ".join(w for w, on in (("quorum", servers[0].quorum), ("client", servers[0].clients)) if on)
    more = "; ".join(map(str, warned[:3])) + (f"; and {len(warned) - 3} more" if len(warned) > 3 else "")
    result = weighed(
        GATE,
        [f.evidence for f in failed],
        [*(f.evidence for f in unknown), *unread],
        f"{which} TLS on {len(servers)} servers" + (f"; {more}" if more else ""),
        SOURCES,
        required=required,
        remedy=next((f.remedy for f in failed if f.remedy), ""),
        to_know=next(
            (f.remedy for f in unknown if f.remedy), "the stores that zoo.cfg names must be readable for zkprov"
        ),
    )
    return msgspec.structs.replace(result, warnings=tuple(warned))


def _postures(servers: Sequence[Secured]) -> Iterator[Finding]:
    """TLS on one side only. The server that is to come is the odd one; else the fewer are."""
    kinds = (
        ("connections between servers are", "sslQuorum", [s.quorum for s in servers]),
        ("clients' connections are", "secureClientPort", [s.clients for s in servers]),
    )
    for what, setting, has in kinds:
        on = [s for s, tls in zip(servers, has, strict=True) if tls]
        off = [s for s, tls in zip(servers, has, strict=True) if not tls]
        if not on or not off:
            continue
        odd, others = (on, off) if _are_odd(on, off) else (off, on)
        remedy = f"let every member have the same {setting} in its zoo.cfg; restart one by one, the leader last"
        if odd[0].new:
            remedy = f"set zkprov_posture of {odd[0].label} to what the others have"
        own, theirs = ("TLS", "plain") if odd is on else ("plain", "TLS")
        for server in odd:
            yield Finding(server.label, f"{what} {own}, and {theirs} on {_names(others)} ({setting})", remedy)


def _are_odd(on: Sequence[Secured], off: Sequence[Secured]) -> bool:
    news = all(s.new for s in on), all(s.new for s in off)
    return news[0] if news[0] != news[1] else len(on) < len(off)


def _each(servers: Sequence[Secured], now_s: float) -> Iterator[Finding]:
    for server in servers:
        others = [s for s in servers if s is not server] or [server]
        asked = Asked(
            server.addresses if any(s.wants_names for s in others) else None,
            server.new or any(s.compares_names for s in others),
        )
        quorum, clients = server.stores.quorum_keys, server.stores.client_keys
        if server.quorum:
            yield from _keys(server, quorum, "quorum_keys", now_s, asked)
            yield from _trust(server, server.stores.quorum_trust, "quorum_trust")
        # One file for both is told once. By which names clients reach it, no list says.
        if server.clients and not (server.quorum and quorum and clients and clients.path == quorum.path):
            yield from _keys(server, clients, "client_keys", now_s, Asked((), server.new))
        trust, clients_trust = server.stores.quorum_trust, server.stores.client_trust
        if server.clients and not (server.quorum and trust and clients_trust and clients_trust.path == trust.path):
            yield from _trust(server, clients_trust, "client_trust")


def _keys(server: Secured, store: KeyStore | None, field: str, now_s: float, asked: Asked) -> Iterator[Finding]:
    if store is None:
        yield _unnamed(server, field)
        return
    read = _readable(server, store, field)
    if read is not None:
        yield read
        return
    if store.form is KeyForm.NOT_PEM:
        yield Finding(server.label, f"{store.path} is no PEM file: it was not looked into", fails=False)
        return
    convert = f"openssl pkcs8 -topk8 -nocrypt -in {store.path}, and put what it prints in place of the key"
    match store.form:
        case KeyForm.NONE if not store.damage:
            yield Finding(server.label, f"{store.path} holds no private key", "put the key into it, as PKCS#8")
        case KeyForm.PKCS1 | KeyForm.SEC1 | KeyForm.OTHER:
            form = {"pkcs1": "PKCS#1", "sec1": "SEC1"}.get(store.form, "not PKCS#8")
            yield Finding(
                server.label, f"the private key in {store.path} is {form}; ZooKeeper takes PKCS#8 only", convert
            )
        case _ if store.matches is False:
            what = f"private key and certificate in {store.path} do not belong together"
            yield Finding(server.label, what, "put the certificate that was made for this key first in it")
        case _ if store.matches is None and not store.damage and store.leaf:
            why = "the key is encrypted" if store.form is KeyForm.ENCRYPTED else store.unmatched or "no OpenSSL there"
            what = f"whether key and certificate in {store.path} belong together was not told ({why})"
            yield Finding(server.label, what, fails=False)
    if store.damage:
        yield Finding(server.label, f"{store.path}: {store.damage}", "put a whole PEM file there")
    if store.leaf is None:
        if not store.damage:
            yield Finding(
                server.label, f"{store.path} holds no certificate", "put the certificate into it, its CA's behind it"
            )
        return
    yield from _dates(server, store.leaf, store.path, now_s)
    yield from _names_covered(server, store.leaf, store.path, asked)


def _dates(server: Secured, leaf: Certificate, path: str, now_s: float) -> Iterator[Finding]:
    named, renew = _named(leaf, path), f"renew the certificate of {server.label}"
    if now_s > leaf.not_after:
        yield Finding(server.label, f"{named} expired on {day(leaf.not_after)}", renew)
    elif now_s < leaf.not_before:
        remedy = f"wait until then, or look at the clocks; else {renew}"
        yield Finding(server.label, f"{named} is not valid before {day(leaf.not_before)}", remedy)
    elif leaf.not_after - now_s < SOON_S:
        left = int((leaf.not_after - now_s) // 86400)
        yield Finding(server.label, f"{named} expires on {day(leaf.not_after)}, in {left} days", renew, fails=False)


def _names_covered(server: Secured, leaf: Certificate, path: str, asked: Asked) -> Iterator[Finding]:
    """Who is to come must be named as the list names it. A member is in, and may be known by a name that resolves, or by no name at all."""
    if asked.addresses is None:
        return
    missing = [a for a in asked.addresses if not leaf.covers(a)]
    told = f"{', '.join(leaf.sans[:5])}" + (f" and {len(leaf.sans) - 5} more" if len(leaf.sans) > 5 else "")
    remedy = f"make a certificate with {', '.join(missing or server.addresses)} among its subject alternative names"
    if not leaf.sans:
        what = f"{_named(leaf, path)} has no subject alternative name (SAN)"
        yield Finding(server.label, what, remedy, fails=asked.strictly)
    elif missing:
        what = f"{_named(leaf, path)} does not cover {', '.join(missing)}, by which the others reach it; its SANs are {told}"
        # out of FIPS mode ZooKeeper tries the address first, and the name that it resolves to
        resolved = any(leaf.addresses if not is_address(a) else leaf.names for a in missing)
        yield Finding(server.label, what, remedy, fails=asked.strictly and (server.new or not resolved))


def _named(leaf: Certificate, path: str) -> str:
    return f"its certificate ({leaf.subject or 'no subject'}, {path})"


def _trust(server: Secured, store: TrustStore | None, field: str) -> Iterator[Finding]:
    if store is None:
        yield _unnamed(server, field)
        return
    read = _readable(server, store, field)
    if read is not None:
        yield read
    elif not store.pem_file:
        yield Finding(server.label, f"{store.path} is no PEM file: it was not looked into", fails=False)
    elif store.damage:
        yield Finding(server.label, f"{store.path}: {store.damage}", "put a whole PEM file there")
    elif not store.certificates:
        yield Finding(
            server.label, f"{store.path} holds no certificate", "put the certificate of the members' CA into it"
        )


def _unnamed(server: Secured, field: str) -> Finding:
    variable = "zkprov_key_store" if field.endswith("_keys") else "zkprov_trust_store"
    if server.new:
        what = f"TLS is wished, and no {variable} is set"
        return Finding(server.label, what, f"set {variable} of {server.label}: a PEM file on that host")
    # they may be system properties, which only the command line of the server tells
    return Finding(server.label, f"its zoo.cfg names no {LOCATIONS[field]}: it was not looked into", fails=False)


def _readable(server: Secured, store: KeyStore | TrustStore, field: str) -> Finding | None:
    """Why a store is not what ZooKeeper could read, or zkprov."""
    kind = server.settings.get(LOCATIONS[field].replace(".location", ".type"), "")
    if store.missing:
        return Finding(server.label, f"{store.path} is not there", "put it there, for the user that ZooKeeper runs as")
    if store.problem:
        remedy = f"make {store.path} on {server.label} readable for zkprov (ansible_become), then try again"
        return Finding(server.label, f"{store.path} cannot be read ({store.problem})", remedy, fails=None)
    if not kind and not store.path.lower().endswith(KINDS):
        what = f"{store.path}: ZooKeeper tells what a store is by the end of its name, one of {' '.join(KINDS)}"
        return Finding(server.label, what, f"name it …{KINDS[0]}")
    return None


def _trusts(servers: Sequence[Secured], now_s: float) -> Iterator[Finding]:
    """Between servers each shows its certificate to the other, whoever calls. Told of who is to come, else of who is most at odds."""
    if not servers[0].quorum:
        return
    pairs = {
        (shows.label, asks.label)
        for shows in servers
        for asks in servers
        if shows is not asks and _untrusted(shows.stores.quorum_keys, asks.stores.quorum_trust, now_s)
    }
    while pairs:
        counts = {s.label: sum(s.label in p for p in pairs) for s in servers}
        odd = max((s for s in servers if counts[s.label]), key=lambda s: (s.new, counts[s.label]))
        yield from _foreign(odd, servers, pairs, now_s)
        pairs = {p for p in pairs if odd.label not in p}


def _untrusted(keys: KeyStore | None, trust: TrustStore | None, now_s: float) -> bool:
    return bool(keys and trust and keys.chain and trust.certificates) and not leads_to(
        keys.chain if keys else (), trust.certificates if trust else (), now_s
    )


def _foreign(
    server: Secured, servers: Sequence[Secured], pairs: Set[tuple[str, str]], now_s: float
) -> Iterator[Finding]:
    refuse = [s for s in servers if (server.label, s.label) in pairs]
    refused = [s for s in servers if (s.label, server.label) in pairs]
    keys, trust = server.stores.quorum_keys, server.stores.quorum_trust
    if refuse and keys and keys.leaf:
        stores = [s.stores.quorum_trust for s in refuse]
        late = all(t and leads_to(keys.chain, t.certificates) for t in stores)
        why = "a CA's certificate behind it has expired" if late else "none of the CAs that they trust signed it"
        what = f"its certificate is of {keys.leaf.issuer or 'no issuer'}, and not trusted by {_names(refuse)}: {why}"
        yield Finding(server.label, what, f"give {server.label} a certificate of the CA that the members trust")
    if refused and trust:
        of = ", ".join(dict.fromkeys(s.stores.quorum_keys.chain[-1].issuer for s in refused if s.stores.quorum_keys))
        what = f"{trust.path} does not trust the certificates of {_names(refused)} (signed by {of})"
        yield Finding(server.label, what, f"put the certificate of {of} into {trust.path} on {server.label}")


def _names(servers: Sequence[Secured]) -> str:
    more = f" and {len(servers) - 5} more" if len(servers) > 5 else ""
    return ", ".join(s.label for s in servers[:5]) + more


def day(at_s: float) -> str:
    """`2027-01-15`, UTC; a certificate without end has an end beyond what dates can say."""
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "a day that no calendar has"
