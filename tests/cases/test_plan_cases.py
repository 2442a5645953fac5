"""What is planned, or refused and why, in full: as an operator would read it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cases.cases import check
from tests.cases.surveys import seconds, survey_of
from tests.unit.facts_made import Made, host, inventory
from zkprov.judge.adoption import behind, missing
from zkprov.judge.health import judge
from zkprov.judge.keeping import propose, told
from zkprov.judge.leaving import leaver_of
from zkprov.judge.releases import running
from zkprov.judge.sides import by_data, sides_of
from zkprov.judge.verdict import Purpose
from zkprov.model.boots import Boot
from zkprov.model.inventory import STOPPED, ReleaseSource
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.release import Release
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress
from zkprov.plan.address import AddressWish, plan_address
from zkprov.plan.adopt import AdoptWish, plan_adopt
from zkprov.plan.downgrade import DowngradeWish, plan_downgrade
from zkprov.plan.fencing import HealWish
from zkprov.plan.heal import plan_heal
from zkprov.plan.membership import Wish, plan_add
from zkprov.plan.options import checked
from zkprov.plan.removal import RemovalWish, excused, plan_remove
from zkprov.plan.renewal import RenewalWish, plan_renew
from zkprov.plan.replacement import Replacement, plan_replace
from zkprov.plan.role import RoleWish, plan_role
from zkprov.plan.rolling import RestartWish, plan_restart
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.plan.switch import SwitchWish
from zkprov.plan.upgrade import UpgradeWish, plan_upgrade
from zkprov.report.heal import told as split_told

FILES = sorted((Path(__file__).parent / "plan").glob("*.txt"))


def planned(lines: tuple[str, ...]) -> str:
    """The last line is `add zk4 zk5` with `wait`, `season=2m`, `reason=…`, `role=observer`, `override=R4`, `lab`, `id=7`, and
    with `group=2`, `weight=3` of each, as `replace` and `role` too; or
    `remove zk4 zk5` with `override=R4`, `reason=…`, `unknown=3` (no host of the inventory);
    or `replace zk3 zk4` with `season=2m` as well; or `role zk3 observer` with `override=R4`, `reason=…`; or `restart zk1 zk2` (or none, for
    all) with these and `files=zk1:zoo.cfg,jvm_flags`, `right=…` (why there is none), `plain` (no hand-over), `settle=30s`, and `reboot`
    with `same=zk1,zk2` (one machine), `others=zk1:/srv/zoo.cfg` (of another ensemble, runs there), `unread=zk2`, `patched` (a hook); or
    `move zk2` with `host=`, `quorum=`, `election=`, `client=` of its new place, or `noclient`; or
    `upgrade 3.9.5` with `soak=60s`, `right=…`, `plain`, `unknown=3`, `laid=3.8.6,3.9.5` (what lies there), `named=3.9.5` (what can); or
    `downgrade 3.8.6` with the same; or `renew zk2` with `season=2m`, `reason=…`;
    or `adopt` with `right=…`, `password` (one is known here), `open` (nobody said that no other program writes zoo.cfg), `admin` (an
    AdminServer is named), `unknown=3`, `settle=30s`, `backup`; or `heal` with `keep=A`, `fenced=zk7`, `reason=…`, `season=2m`, `unknown=7`,
    `known` (an earlier run knew the history of side A), `data` (the sides are told by what they hold).
    """
    *survey, last = lines
    try:
        act, *words = last.split()
        ways = {
            "remove": removed,
            "replace": replaced,
            "renew": renewed,
            "role": turned,
            "restart": restarted,
            "move": moved,
            "upgrade": upgraded,
            "downgrade": downgraded,
            "adopt": adopted,
            "heal": healed,
        }
        way = ways.get(act, added)
        return printed(way(survey_of(tuple(survey)), words))
    except BadInput as bad:
        return f"exit 2\nerror: {bad}\nnext  {bad.remedy}"


def added(made: Made, words: list[str]) -> Plan | Refusal:
    given = dict(w.split("=") for w in words if "=" in w)
    more = {"id": int(given["id"])} if "id" in given else {}
    hosts = {w: host(int(w.removeprefix("zk")), **more, **seat(given)) for w in words if w.startswith("zk")}
    listed = inventory(9, lab="lab" in words, **hosts)
    options = Options(
        role=Role(given.get("role", "participant")),
        season_s=seconds(given.get("season", "15m")),
        settle_s=seconds(given.get("settle", "30s")),
        wait="wait" in words,
        reason=given.get("reason", ""),
        overrides={given["override"]: given.get("reason", "")} if "override" in given else {},
    )
    wish = Wish("4f1c", tuple(hosts.values()), checked(options, listed), 0.0, "op@host", "0.1.0")
    return plan_add(made.health(Purpose.CHANGE), listed, wish)


def seat(given: dict[str, str]) -> dict[str, int]:
    return {f"quorum_{k}": int(given[k]) for k in ("group", "weight") if k in given}


def removed(made: Made, words: list[str]) -> Plan | Refusal:
    given = dict(w.split("=") for w in words if "=" in w)
    names = tuple(w for w in words if "=" not in w)
    listed = inventory(9)
    known = tuple(h for h in listed.hosts if h.name != f"zk{given.get('unknown')}")
    listed = msgspec.structs.replace(listed, hosts=known)
    options = Options(
        settle_s=0.0,
        reason=given.get("reason", ""),
        overrides={given["override"]: given.get("reason", "")} if "override" in given else {},
    )
    silent = excused([leaver_of(made.health().picture, n) for n in names])
    health = judge(made.health().picture.survey, Purpose.CHANGE, excused=silent)
    wish = RemovalWish("4f1c", names, checked(options, listed), 0.0, "op@host", "0.1.0")
    return plan_remove(health, listed, wish)


def replaced(made: Made, words: list[str]) -> Plan | Refusal:
    old, new, *more = words
    given = dict(w.split("=") for w in more)
    options = Options(season_s=seconds(given.get("season", "15m")), settle_s=0.0, reason=given.get("reason", ""))
    leaver = leaver_of(made.health().picture, old)
    options = msgspec.structs.replace(options, role=Role("observer" if leaver.part == "observer" else "participant"))
    silent = {leaver.id} - {None} if not leaver.up else set()
    health = judge(made.health().picture.survey, Purpose.CHANGE, excused=silent)
    joiner = host(int(new.removeprefix("zk")), **seat(given))
    listed = inventory(9, **{new: joiner})
    wish = Replacement("4f1c", (joiner,), checked(options, listed), 0.0, "op@host", "0.1.0", "", old)
    return plan_replace(health, listed, wish)


def renewed(made: Made, words: list[str]) -> Plan | Refusal:
    name, *more = words
    given = dict(w.split("=") for w in more)
    options = Options(season_s=seconds(given.get("season", "15m")), settle_s=0.0, reason=given.get("reason", ""))
    leaver = leaver_of(made.health().picture, name)
    silent = {leaver.id} - {None} if not leaver.up else set()
    health = judge(made.health().picture.survey, Purpose.CHANGE, excused=silent)
    listed = msgspec.structs.replace(inventory(9), hosts=tuple(h for h in inventory(9).hosts if h.name != "zk7"))
    wish = RenewalWish("4f1c", name, checked(options, listed), 0.0, "op@host", "0.1.0")
    return plan_renew(health, listed, wish)


def turned(made: Made, words: list[str]) -> Plan | Refusal:
    name, role, *more = words
    given = dict(w.split("=") for w in more)
    overrides = {given["override"]: given.get("reason", "")} if "override" in given else {}
    options = checked(Options(settle_s=0.0, reason=given.get("reason", ""), overrides=overrides), inventory(9))
    wish = RoleWish("4f1c", name, Role(role), options, 0.0, "op@host", "0.1.0")
    listed = inventory(9, **{name: host(int(name.removeprefix("zk")), **seat(given))})
    return plan_role(made.health(Purpose.CHANGE), listed, wish)


def restarted(made: Made, words: list[str]) -> Plan | Refusal:
    given = dict(w.split("=", 1) for w in words if "=" in w)
    names = tuple(w for w in words if "=" not in w and w not in ("plain", "reboot", "patched")) or tuple(
        s.name for s in made.health().picture.members
    )
    listed = inventory(9)
    known = tuple(h for h in listed.hosts if h.name != f"zk{given.get('unknown')}")
    listed = msgspec.structs.replace(listed, hosts=known)
    options = Options(
        settle_s=seconds(given.get("settle", "0s")),
        reason=given.get("reason", ""),
        overrides={given["override"]: given.get("reason", "")} if "override" in given else {},
        handover="plain" not in words,
        configure="files" in given,
        reboot="reboot" in words,
    )
    host_, _, files = given.get("files", "").partition(":")
    down = frozenset(x.id for n in names if not (x := leaver_of(made.health().picture, n)).up and x.id is not None)
    health = judge(made.health().picture.survey, Purpose.CHANGE, excused=down)
    wish = RestartWish(
        "4f1c",
        names,
        {host_: tuple(files.split(","))} if host_ else {},
        given.get("right", "").replace("_", " "),
        checked(options, listed),
        0.0,
        "op@host",
        "0.1.0",
        boots=booted(made, given) if options.reboot else {},
        patched="patched" in words,
    )
    return plan_restart(health, listed, wish)


def booted(made: Made, given: dict[str, str]) -> dict[str, Boot | str]:
    same, (at, _, other) = given.get("same", "").split(","), given.get("others", "").partition(":")
    found: dict[str, Boot | str] = {}
    for name in (s.name for s in made.health().picture.members):
        found[name] = Boot("boot-of-one" if name in same else f"boot-of-{name}", others=(other,) if name == at else ())
    return found | dict.fromkeys(given["unread"].split(",") if "unread" in given else (), "no route to host")


def moved(made: Made, words: list[str]) -> Plan | Refusal:
    name, *more = words
    given = dict(w.split("=") for w in more if "=" in w)
    health = made.health(Purpose.CHANGE)
    asked = leaver_of(health.picture, name)
    assert asked.id is not None
    was = (health.picture.live or Members.of()).get(asked.id)
    assert was is not None and was.client is not None
    at = ServerAddress(
        given.get("host", was.address.host),
        int(given.get("quorum", was.address.quorum_port)),
        int(given.get("election", was.address.election_port)),
    )
    client = None if "noclient" in more else ClientAddress(int(given.get("client", was.client.port)))
    overrides = {given["override"]: given.get("reason", "")} if "override" in given else {}
    options = checked(Options(settle_s=0.0, reason=given.get("reason", ""), overrides=overrides), inventory(9))
    wish = AddressWish("4f1c", name, Server(was.id, (at,), was.role, client), options, 0.0, "op@host", "0.1.0")
    return plan_address(health, inventory(9), wish)


def upgraded(made: Made, words: list[str], kind: type[SwitchWish] = UpgradeWish) -> Plan | Refusal | None:
    given = dict(w.split("=", 1) for w in words[1:] if "=" in w)
    named = {r: ReleaseSource(classpath=f"/{r}/*") for r in given.get("named", "").split(",") if r}
    known = [host(i, releases=named) for i in range(1, 10) if str(i) != given.get("unknown")]
    listed = msgspec.structs.replace(inventory(9), hosts=tuple(known))
    options = Options(
        settle_s=0.0, soak_s=seconds(given.get("soak", "60s")), handover="plain" not in words, backup="backup" in words
    )
    picture = made.health().picture
    told = {i: frozenset({str(r)}) for i, r in running(picture).items()}
    wish = kind(
        "4f1c",
        tuple(s.name for s in picture.members),
        {},
        given.get("right", "").replace("_", " "),
        options,
        0.0,
        "op@host",
        "0.1.0",
        target=Release.parse(words[0]),
        laid={h.name: tuple(given.get("laid", "3.8.6,3.9.5").split(",")) for h in known},
    )
    health = judge(picture.survey, Purpose.CHANGE, releases=told)
    if isinstance(wish, DowngradeWish):
        return plan_downgrade(health, listed, wish)
    assert isinstance(wish, UpgradeWish)
    return plan_upgrade(health, listed, wish)


def downgraded(made: Made, words: list[str]) -> Plan | Refusal | None:
    return upgraded(made, words, DowngradeWish)


def adopted(made: Made, words: list[str]) -> Plan | Refusal | None:
    given = dict(w.split("=", 1) for w in words if "=" in w)
    said = "" if "open" in words else STOPPED
    hosts = {
        f"zk{i}": host(i, admin_port=8080 if "admin" in words else None, foreign_config_manager=said)
        for i in range(1, 10)
    }
    listed = inventory(9, **hosts)
    known = tuple(h for h in listed.hosts if h.name != f"zk{given.get('unknown')}")
    listed = msgspec.structs.replace(listed, hosts=known)
    options = Options(settle_s=seconds(given.get("settle", "0s")), backup="backup" in words)
    health = judge(made.survey, Purpose.CHANGE, excused=behind(made.picture))
    right = given.get("right", "").replace("_", " ")
    lacks = missing(health, listed, no_right=right, with_password="password" in words)
    names = tuple(m.host for m in lacks.restarts)
    wish = AdoptWish("4f1c", names, {}, right, options, 0.0, "op@host", "0.1.0", missing=lacks)
    return plan_adopt(health, listed, wish)


def healed(made: Made, words: list[str]) -> Plan | Refusal:
    given = dict(w.split("=", 1) for w in words if "=" in w)
    listed = inventory(9)
    known = tuple(h for h in listed.hosts if h.name != f"zk{given.get('unknown')}")
    listed = msgspec.structs.replace(listed, hosts=known)
    options = Options(settle_s=0.0, season_s=seconds(given.get("season", "15m")), reason=given.get("reason", ""))
    health, by = made.health(), "data" if "data" in words else "leaders"
    sides = by_data(health.picture) if by == "data" else sides_of(health.picture)
    unread = frozenset(s.name for s in sides if s.identity is None and not s.leader)
    remembered = frozenset({told(sides[0].identity)}) if "known" in words else frozenset()
    proposal = propose(sides, unread=unread, remembered=remembered, by_data=by == "data")
    attested = {given["fenced"]: given.get("reason", "")} if "fenced" in given else {}
    wish = HealWish("4f1c", given.get("keep", ""), attested, checked(options, listed), 0.0, "op@host", "0.1.0", "", by)
    return plan_heal(health, sides, proposal, listed, wish)


def printed(made: Plan | Refusal | None) -> str:
    if isinstance(made, Refusal):
        told = [f"next  {c}{'   ' if c and w else ''}{w}" for c, w in made.next]
        return "\n".join([f"exit {made.exit_code}", str(made), *(f"  {e}" for e in made.evidence), *told])
    if made is None or not made.steps:
        return "nothing to do"
    rows = [(str(s.number), s.title, str(s.after), s.proof or "-", str(s.spare_after)) for s in made.steps]
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    table = ["  ".join([*(f"{c:<{w}}" for c, w in zip(r[:4], widths, strict=True)), r[4]]) for r in rows]
    states = (
        f"{made.states_proved} states proved; newcomers there already: {', '.join(map(str, made.unseasoned)) or 'none'}"
    )
    sides = split_told(made.split) if made.split is not None else ()
    return "\n".join(
        ["plan", *sides, *table, states, *(f"missing  {m}" for m in made.missing), *(f"note  {n}" for n in made.notes)]
    )


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_planned(file: Path) -> None:
    check(file, planned)


def test_there_are_cases() -> None:
    assert len(FILES) >= 4
