"""The gate of TLS: one posture, stores that ZooKeeper takes, certificates that are valid, name their server and are trusted by the others.

ZooKeeper itself starts with most of what is refused here, and fails at the first handshake (FACTS): a joiner would stay out for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime

import msgspec

from zkprov.judge.chains import leads_to
from zkprov.judge.picture import Picture
from zkprov.judge.postures import guards, postures
from zkprov.judge.secured import Finding, Secured, addresses_of, labels, secured_members
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.certificates import (
    LOCATIONS,
    Certificate,
    KeyForm,
    KeyStore,
    Stores,
    TrustStore,
    is_address,
    tls_settings,
)
from zkprov.model.flags import flags_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.release import Release
from zkprov.model.server import Server

GATE = "certificates"
NO_TLS = "no TLS"
TO_KNOW = "zoo.cfg of every member, and the stores that it names, must be readable for zkprov"
SOURCES = ("zoo.cfg on disk", "the running server's command line", "key and trust stores on each host")
_IDLE = ("sslQuorum", "secureClientPort", "portUnification")
SOON_S = 30 * 86400
"""How long before its end a certificate is told as a warning."""
KINDS = (".pem", ".jks", ".p12", ".bcfks")
"""What ZooKeeper tells the kind of a store by (`KeyStoreFileType`)."""


class Asked(msgspec.Struct, frozen=True):
    """By which addresses others know a server that its certificate is to cover; None: nobody asks. `strictly`: else it is a warning."""

    addresses: tuple[str, ...] | None
    strictly: bool


def certificates(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Of the members, by the disks that could be read, at the time of the survey. `excused` need not answer just now."""
    servers, unread = secured_members(picture, excused)
    return _weighed(servers, unread, picture.survey.began, required=purpose is Purpose.CHANGE)


def joiner_certificates(
    picture: Picture, host: InventoryHost, server: Server, stores: Stores, excused: Set[int] = frozenset()
) -> GateResult:
    """Of the members and the joiner together. `stores`: those that the inventory names for it, as they lie on its host."""
    servers, unread = secured_members(picture, excused, without=server.id)
    return _weighed([*servers, _to_come(host, server, stores)], unread, picture.survey.began)


def founders_certificates(hosts: Sequence[tuple[InventoryHost, Stores]], now_s: float) -> GateResult:
    """Of servers none of which is there yet. `now_s`: in seconds since 1970."""
    return _weighed([_to_come(host, None, stores) for host, stores in hosts], [], now_s)


def _to_come(host: InventoryHost, server: Server | None, stores: Stores) -> Secured:
    addresses = addresses_of(server) if server else (host.address,)
    idle = {k: v for k, v in flags_of(host.jvm_flags).idle.items() if k not in tls_settings(host)}
    release = Release.read(host.release or "")
    return Secured(host.name, addresses, tls_settings(host), stores, release, new=True, idle=idle)


def _weighed(
    servers: Sequence[Secured], unread: Sequence[Evidence], now_s: float, *, required: bool = True
) -> GateResult:
    idle = list(_of_no_use(servers))
    if not any(s.quorum or s.clients for s in servers):
        # of whom no disk was read nothing is said
        said = "; ".join([NO_TLS, *(str(f.evidence) for f in idle[:3]), *_not_told(servers)])
        plain = weighed(GATE, [], unread, said, SOURCES, required=required, to_know=TO_KNOW)
        return msgspec.structs.replace(plain, warnings=tuple(f.evidence for f in idle))
    found = [*postures(servers)] or [*guards(servers), *_each(servers, now_s), *_trusts(servers, now_s)]
    found += idle
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
        to_know=next((f.remedy for f in unknown if f.remedy), TO_KNOW),
    )
    return msgspec.structs.replace(result, warnings=tuple(warned))


def _of_no_use(servers: Sequence[Secured]) -> Iterator[Finding]:
    """Who believes to have TLS by a flag that ZooKeeper does not heed: it is told, though nothing fails by it."""
    for server in servers:
        for key in (k for k in _IDLE if k in server.idle and server.idle[k].lower() != "false"):
            what = f"-Dzookeeper.{key}={server.idle[key]} does nothing: ZooKeeper takes {key} from zoo.cfg alone"
            yield Finding(server.label, what, f"write {key} into zoo.cfg of {server.label}", fails=False)


def _not_told(servers: Sequence[Secured]) -> list[str]:
    """Of a server whose flags are not known: a port that speaks TLS besides would be set by one."""
    unseen = [s for s in servers if s.unseen]
    return [f"by zoo.cfg alone, for {unseen[0].unseen} on {labels(unseen)}"] if unseen else []


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
    closed = _closed(server, store, field)
    if closed or store is None:
        yield from closed
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
    closed = _closed(server, store, field)
    if closed or store is None:
        yield from closed
    elif store.damage:
        yield Finding(server.label, f"{store.path}: {store.damage}", "put a whole PEM file there")
    elif not store.certificates:
        yield Finding(
            server.label, f"{store.path} holds no certificate", "put the certificate of the members' CA into it"
        )


def _closed(server: Secured, store: KeyStore | TrustStore | None, field: str) -> tuple[Finding, ...]:
    """Why nothing can be said of what is in a store; empty where it can."""
    if store is None:
        return (_unnamed(server, field),)
    read = _readable(server, store, field)
    if read is not None:
        return (read,)
    if store.pem_file:
        return ()
    return (Finding(server.label, f"{store.path} is no PEM file: it was not looked into", fails=False),)


def _unnamed(server: Secured, field: str) -> Finding:
    variable = "zkprov_key_store" if field.endswith("_keys") else "zkprov_trust_store"
    if server.new:
        what = f"TLS is wished, and no {variable} is set"
        return Finding(server.label, what, f"set {variable} of {server.label}: a PEM file on that host")
    # they may be system properties, which only the command line of the server tells
    where = f"its zoo.cfg names no {LOCATIONS[field]}, and {server.unseen}" if server.unseen else ""
    what = where or f"neither its zoo.cfg nor its flags name a {LOCATIONS[field]}"
    return Finding(server.label, f"{what}: it was not looked into", fails=False)


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
        what = f"its certificate is of {keys.leaf.issuer or 'no issuer'}, and not trusted by {labels(refuse)}: {why}"
        yield Finding(server.label, what, f"give {server.label} a certificate of the CA that the members trust")
    if refused and trust:
        of = ", ".join(dict.fromkeys(s.stores.quorum_keys.chain[-1].issuer for s in refused if s.stores.quorum_keys))
        what = f"{trust.path} does not trust the certificates of {labels(refused)} (signed by {of})"
        yield Finding(server.label, what, f"put the certificate of {of} into {trust.path} on {server.label}")


def day(at_s: float) -> str:
    """`2027-01-15`, UTC; a certificate without end has an end beyond what dates can say."""
    try:
        return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "a day that no calendar has"
