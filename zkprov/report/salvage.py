"""What `zkprov salvage` prints: documents for programs, tables for people."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from zkprov.model.letters import Fate, Letter, Origin, Outcome, Why
from zkprov.report.console import _plain, console, lines, table
from zkprov.run.events import rfc3339
from zkprov.tree.acls import acl_of
from zkprov.tree.compare import Difference, Side
from zkprov.tree.transactions import CONTAINER, is_ttl, ttl_ms
from zkprov.tree.znodes import Znode


class LetterRow(msgspec.Struct, frozen=True):
    """One dead letter. `zxid` and `session` in hex; `part`: which change of its transaction. `size` of the data in bytes, null for none.

    `data` in base64, with --data only. `sort`: permanent, ephemeral, container, or a time to live. `acl`: without hashes.
    `disks`: how many of the losing side's disks have it; `doubt`: why it may never have been acknowledged. `said`: of the fate.
    """

    number: int
    zxid: str
    part: int
    time: str
    session: str
    kind: str
    path: str
    size: int | None
    version: int
    sort: str
    acl: list[str]
    why: Why
    disks: int
    doubt: str
    fate: Fate
    said: str
    data: str | None = None


class SalvageDocument(msgspec.Struct, frozen=True):
    """`zkprov salvage`. `act`: from, show or apply. `file`: the dead letters. `letters`: those asked for; `more`: how many are not shown.

    `fates`: how many of those asked for have which fate. `stopped`: why `apply` did not come to its end.
    """

    act: str
    file: str
    origin: Origin
    letters: list[LetterRow] = []
    more: int = 0
    fates: dict[str, int] = {}
    dry_run: bool = False
    stopped: str = ""
    format: int = 1


class DifferenceRow(msgspec.Struct, frozen=True):
    """A znode that two trees do not have alike. `what` differs. zxids in hex, times as RFC 3339; null where a side has none."""

    path: str
    side: Side
    what: list[str]
    here_mzxid: str | None
    here_mtime: str | None
    there_mzxid: str | None
    there_mtime: str | None


class DifferencesDocument(msgspec.Struct, frozen=True):
    """`zkprov salvage compare`. `counts`: of each side of `differences`, `more` of which are not shown. `same` goes with exit 0, else 4."""

    here: str
    there: str
    here_znodes: int
    there_znodes: int
    here_zxid: str
    there_zxid: str
    same: bool
    counts: dict[str, int]
    differences: list[DifferenceRow]
    more: int
    flaws: list[str]
    format: int = 1


def row(letter: Letter, outcome: Outcome, *, data: bool = False) -> LetterRow:
    try:
        acl = [str(right) for right in acl_of(letter.acl)] if letter.acl else []
    except ValueError:
        acl = ["?"]
    return LetterRow(
        number=letter.number,
        zxid=f"{letter.zxid:#x}",
        part=letter.part,
        time=rfc3339(letter.time / 1000),
        session=f"{letter.session & (1 << 64) - 1:#x}",
        kind=letter.kind.value,
        path=letter.path,
        size=None if letter.data is None else len(letter.data),
        version=letter.version,
        sort=_sort(letter),
        acl=acl,
        why=letter.why,
        disks=letter.disks,
        doubt=letter.doubt,
        fate=outcome.fate,
        said=outcome.said,
        data=base64.b64encode(letter.data).decode() if data and letter.data is not None else None,
    )


def _sort(letter: Letter) -> str:
    if letter.ephemeral:
        return "ephemeral"
    if letter.owner == CONTAINER:
        return "container"
    return f"lives {ttl_ms(letter.owner)} ms" if is_ttl(letter.owner) else "permanent"


def differences_document(
    names: tuple[str, str], sizes: tuple[int, int], zxids: tuple[int, int], found: Iterable[Difference], limit: int,
    flaws: Sequence[str],
) -> DifferencesDocument:  # fmt: skip
    counts: Counter[str] = Counter()
    rows: list[DifferenceRow] = []
    for one in found:
        counts[one.side.value] += 1
        if not limit or len(rows) < limit:
            here, there = _stat(one.here), _stat(one.there)
            rows.append(
                DifferenceRow(one.path.decode(errors="backslashreplace"), one.side, list(one.what), *here, *there)
            )
    total = counts.total()
    zxid = [f"{z:#x}" for z in zxids]
    return DifferencesDocument(
        *names, *sizes, zxid[0], zxid[1], not total, dict(counts), rows, total - len(rows), list(flaws)
    )


def _stat(node: Znode | None) -> tuple[str | None, str | None]:
    return (None, None) if node is None else (f"{node.mzxid:#x}", rfc3339(max(node.mtime, 0) / 1000))


# -- as text


def show_differences(document: DifferencesDocument) -> None:
    out = console()
    head = f"{document.here} ({document.here_znodes} znodes) and {document.there} ({document.there_znodes})"
    counts = ", ".join(f"{n} {side}" for side, n in document.counts.items()) or "the same"
    lines([f"{head}: {counts}"])
    rows = [
        [d.path, d.side.value, d.here_mzxid, d.there_mzxid, d.here_mtime or d.there_mtime, ", ".join(d.what)]
        for d in document.differences
    ]
    if rows:
        table(out, ["znode", "", "zxid here", "there", "written", "different in"], rows, right=())
    _rest(document.more, document.flaws)


def show_made(document: SalvageDocument) -> None:
    o = document.origin
    parted = f"they have one history up to {o.parted:#x}" if o.parted else "they have no common history"
    lines([f"{o.letters} dead letters in {document.file}"])
    out = console()
    out.print(_plain(f"  {', '.join(o.sources)}, compared with {o.kept}"), soft_wrap=True)
    out.print(_plain(f"  {parted} ({o.how})"), soft_wrap=True)
    if o.transactions:
        out.print(f"  {o.transactions} transactions since, {o.first:#x} to {o.last:#x}")
    out.print(
        f"  {o.conflicts} in conflict with the kept side, {o.ephemeral} of ephemeral znodes; "
        f"{o.same} changes are on the kept side anyway, {o.left_out} of /zookeeper and /zkprov are left out",
        soft_wrap=True,
    )
    _gone(o)
    for note in o.notes:
        out.print(_plain(f"note    {note}"), soft_wrap=True)
    _rest(0, o.flaws)
    if o.letters:
        out.print(_plain(f"next    zkprov salvage show {document.file}"), soft_wrap=True)
        out.print(_plain(f"        zkprov salvage apply {document.file} --only PATH --dry-run"), soft_wrap=True)


def _gone(origin: Origin) -> None:
    """What no letter can be of; it is said wherever the letters are."""
    for cut in origin.cut_off:
        whose = " (of the kept side)" * cut.kept
        how = "was cut off" if cut.sure else "was cut off, or copied without its end,"
        beyond = f"{cut.after + 1:#x}"
        much = f"what it had from {beyond} on is on this disk no more, and how much that was it does not tell"
        if cut.last:
            most = f": {cut.most} transactions at most" * bool(cut.most)
            much = f"{beyond} to {cut.last:#x}, which it had, are on this disk no more{most}"
        why = "as a server's is that joins a leader of another history"
        text = f"gone    {cut.disk}{whose}: its log {how} after {cut.after:#x}, {why}; {much}"
        console().print(_plain(text), soft_wrap=True)


def show_letters(document: SalvageDocument) -> None:
    out = console()
    rows = [
        [
            r.number,
            r.time,
            r.zxid,
            r.kind,
            r.size,
            r.fate.value,
            r.path,
            "; ".join(filter(None, (r.why.value, r.said or r.doubt))),
        ]
        for r in document.letters
    ]
    if rows:
        table(out, ["#", "time", "zxid", "kind", "bytes", "fate", "znode", "why"], rows, right=(0, 4))
    else:
        out.print("no such letters")
    if document.act == "show":
        _gone(document.origin)
    _rest(document.more, document.origin.flaws if document.act == "show" else ())


def show_applied(document: SalvageDocument) -> None:
    """The letters that were set aside, and how many became what."""
    out = console()
    aside = [r for r in document.letters if r.fate is Fate.CONFLICT]
    if aside:
        rows = [[r.number, r.time, r.kind, r.path, r.said] for r in aside]
        table(out, ["#", "time", "kind", "znode", "set aside, for a person"], rows)
    would = "would be " if document.dry_run else ""
    said = {Fate.REPLAYED: f"{would}replayed", Fate.THERE: "there already", Fate.CONFLICT: f"{would}set aside"}
    said |= {Fate.NEVER: "ephemeral, never replayed"}
    told = ", ".join(f"{document.fates[f.value]} {t}" for f, t in said.items() if document.fates.get(f.value))
    earlier = document.fates.get("earlier", 0)
    parts = [told or "nothing to replay", *([f"{earlier} settled earlier"] if earlier else [])]
    lines([f"{document.origin.ensemble}: {'; '.join(parts)}"])
    if document.stopped:
        out.print(_plain(f"stopped  {document.stopped}"), soft_wrap=True)


def _rest(more: int, flaws: Sequence[str]) -> None:
    out = console()
    if more:
        out.print(f"… and {more} more (--limit)")
    for flaw in flaws:
        out.print(_plain(f"flaw    {flaw}"), soft_wrap=True)
