"""The proof as a document and as text: the verdict, who could elect whom by which file, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

import msgspec

from zkprov.model.proof import Proof, Verdict
from zkprov.model.witness import Witness

WIDTH = 80


class ProofDocument(msgspec.Struct, frozen=True):
    """`zkprov prove`. `witness` goes with `unsafe`, and with `unknown` where servers that nobody has seen could elect a second leader.

    `reason` and `fetch` (the files that would settle it) go with `unknown`. `notes`: what else is wrong with the files.
    """

    target: str
    verdict: Verdict
    witness: Witness | None
    reason: str
    fetch: tuple[str, ...]
    notes: tuple[str, ...]
    next: tuple[str, ...]
    servers: int
    lists: int
    steps: int
    took_s: float
    format: int = 1


def proof_document(target: str, proof: Proof, *, notes: tuple[str, ...] = (), took_s: float = 0.0) -> ProofDocument:
    return ProofDocument(
        target,
        proof.verdict,
        proof.witness,
        proof.reason,
        proof.fetch,
        notes,
        _next(proof),
        proof.servers,
        proof.lists,
        proof.steps,
        round(took_s, 3),
    )


def _next(proof: Proof) -> tuple[str, ...]:
    if proof.safe:
        return ()
    if proof.verdict is Verdict.UNSAFE:
        return (
            'start none of these servers, and restart none, before their lists agree; docs: incidents, "A second leader"',
        )
    if proof.fetch:
        return ("put these files beside the others, and prove again",)
    if not proof.lists:
        return ("zkprov status: what each server tells, or why it does not",)
    return ("give the search more time: --timeout 60",)


def text(document: ProofDocument) -> str:
    """What a person reads; nothing in it that is not in the document."""
    return "\n".join(_plain(line).rstrip() for line in _lines(document))


def _lines(document: ProofDocument) -> Iterator[str]:
    of = f"{_count(document.servers, 'server')} and {_count(document.lists, 'list')}"
    if document.verdict is Verdict.SAFE:
        yield "SAFE     no two disjoint sets of servers can each elect a leader"
        yield f"         proved for {of}"
    elif document.verdict is Verdict.UNSAFE:
        yield "UNSAFE   two sets of servers can each elect a leader"
    else:
        yield from _indented("UNKNOWN  ", document.reason)
    if document.witness is not None:
        if document.verdict is Verdict.UNKNOWN:
            yield "  if that is so, two sets of servers can each elect a leader:"
        yield from _sides(document.witness)
    for label, entries in (("fetch  ", document.fetch), ("note   ", document.notes), ("next   ", document.next)):
        for n, entry in enumerate(entries):
            yield from _indented(label if n == 0 else " " * len(label), entry)


def _sides(witness: Witness) -> Iterator[str]:
    lines = witness.lines()
    if max(map(len, lines)) + 2 <= WIDTH:
        yield from (f"  {line}" for line in lines)
        return
    for side in witness.sides:
        yield f"  {_ids(side.ids)}  elect {side.leader} under {side.under}"
        for standing in side.servers:
            yield from _indented(f"    {standing.id:>3}  ", standing.told())


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _ids(ids: frozenset[int]) -> str:
    return "{" + ",".join(str(i) for i in sorted(ids)) + "}"


def _indented(label: str, entry: str) -> Iterator[str]:
    return iter(
        wrap(
            entry,
            WIDTH,
            initial_indent=label,
            subsequent_indent=" " * len(label),
            break_long_words=False,
            break_on_hyphens=False,
        )
        or [label]
    )


def _plain(line: str) -> str:
    """Control characters in a folder's or a file's name never reach the terminal."""
    return "".join(c if c.isprintable() else "?" for c in line)
