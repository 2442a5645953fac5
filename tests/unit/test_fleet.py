"""Which groups are ensembles, in which order they are changed, who is begun no more after a failure, and which code the whole ends with."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml
from click import Context
from click.testing import CliRunner

from tests.unit.inventories import own_cache, write
from zkprov.cli import zkprov
from zkprov.model.fleet import ensembles_in, left_out, only_whole
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.problems import BadInput
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.fleet import Found, fleet_of, read_fleet
from zkprov.plan.fleet import FleetWish, exit_code, may_begin, ordered, outlook, over, worst
from zkprov.report.fleet_change import FleetChangeDocument
from zkprov.run.fleet_look import waves

__all__ = ["own_cache", "write"]

FLEET = """
[brokers]
broker1
broker2

[beta]
b1 zkprov_id=1
b2 zkprov_id=2

[alpha]
a1 zkprov_id=1
a2 zkprov_id=2

[test]
t1 zkprov_id=1

[prod:children]
beta
alpha
"""

GROUPS = {
    "brokers": ("broker1",),
    "beta": ("b1", "b2"),
    "alpha": ("a1", "a2"),
    "test": ("t1",),
    "prod": ("b1", "b2", "a1", "a2"),
}
LISTED = Listing(
    {"all": ("broker1", "t1", "b1", "b2", "a1", "a2"), **GROUPS},
    {name: {"zkprov_id": int(name[-1])} if name != "broker1" else {} for hosts in GROUPS.values() for name in hosts},
    {"all": ("ungrouped", "brokers", "test", "prod"), "prod": ("beta", "alpha")},
)
"""As Ansible lists them."""


def ensembles(path: str, limit: str | None = None) -> list[str]:
    return [e.name for e in read_fleet(path, limit).ensembles]


def wrong(path: str, limit: str | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_fleet(path, limit)
    assert caught.value.remedy
    return caught.value


class TestWhichGroupsAreEnsembles:
    def test_those_with_hosts_of_ours_and_no_group_in_them_in_the_inventorys_order(self, write) -> None:
        path = write(FLEET)
        found = read_fleet(path)
        assert [e.name for e in found.ensembles] == ["test", "beta", "alpha"], "as Ansible lists them"
        assert all(e.inventory and e.inventory.path == path and not e.wrong and not e.canary for e in found.ensembles)
        assert [h.name for h in found.ensembles[-1].inventory.hosts] == ["a1", "a2"] and not found.left_out

    def test_those_that_hosts_name_and_no_other_once_one_does(self, write) -> None:
        racks = """
        all:
          children:
            one:
              vars: {zkprov_ensemble: one}
              children:
                rack_a: {hosts: {z1: {zkprov_id: 1}}}
                rack_b: {hosts: {z2: {zkprov_id: 2}}}
            debian: {hosts: {z1: {}, z2: {}}}
            other: {hosts: {y1: {zkprov_id: 1}}}
        """
        found = read_fleet(write(racks, "i.yml"))
        assert [e.name for e in found.ensembles] == ["one"] and found.left_out == ("y1",)
        assert [h.name for h in found.ensembles[0].inventory.hosts] == ["z1", "z2"]

    def test_a_host_that_names_a_group_that_it_is_not_in(self, write) -> None:
        assert "zkprov_ensemble is 'beta'" in str(
            wrong(write(FLEET.replace("a1 zkprov_id=1", "a1 zkprov_ensemble=beta")))
        )
        said = str(wrong(write(FLEET.replace("a1 zkprov_id=1", 'a1 zkprov_ensemble="{{ x }}"'))))
        assert "not the name of a group" in said and "a1" in said

    def test_none_is_there(self, write) -> None:
        assert "no group of the inventory is an ensemble" in str(wrong(write("[zk]\nzk1\nzk2\n")))

    def test_a_host_in_two(self, write) -> None:
        path = write(FLEET + "\n[debian]\na1\nb2\n")
        said = wrong(path)
        assert "in two ensembles" in str(said) and "debian" in str(said) and "zkprov_ensemble" in said.remedy
        assert ensembles(path, "test") == ["test"], "nobody else's matter"
        named = FLEET + "\n[debian]\na1\nb2\n[alpha:vars]\nzkprov_ensemble=alpha\n[beta:vars]\nzkprov_ensemble=beta\n"
        assert ensembles(write(named)) == ["beta", "alpha"]

    def test_a_port_or_a_folder_of_two(self, write) -> None:
        def text(a: str, b: str) -> str:
            return f"[a]\na1 zkprov_id=1 zkprov_address=10.0.0.1 {a}\n[b]\nb1 zkprov_id=1 zkprov_address=10.0.0.1 {b}\n"

        apart = "zkprov_quorum_port=1111 zkprov_election_port=1112 zkprov_data_dir=/d zkprov_config_dir=/c"
        assert "port 2181 at 10.0.0.1" in str(wrong(write(text("", apart))))
        own = f"{apart} zkprov_client_port=2182"
        assert ensembles(write(text("", own))) == ["a", "b"]
        assert "/d on 10.0.0.1 is that of a1 too" in str(wrong(write(text("zkprov_data_dir=/d", own))))
        # the same private address behind two jump hosts is two machines
        far = "zkprov_tunnel=true ansible_host=10.9.9.{}"
        assert ensembles(write(text(far.format(1), far.format(2)))) == ["a", "b"]

    def test_what_is_wrong_in_one_is_that_ones(self, write) -> None:
        found = read_fleet(write(FLEET + "\n[alpha:vars]\nzkprov_nonsense=1\n[test:vars]\nzkprov_canary=perhaps\n"))
        told = {e.name: str(e.wrong) for e in found.ensembles if e.wrong}
        assert set(told) == {"alpha", "test"}
        assert "zkprov_nonsense" in told["alpha"] and "zkprov_canary" in told["test"]

    def test_templates_are_rendered_once_for_all_and_those_that_cannot_be_are_their_own(
        self, write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from zkprov.observe import ansible_values

        plays = []
        piped = ansible_values._piped
        monkeypatch.setattr(ansible_values, "_piped", lambda *a: plays.append(1) or piped(*a))
        template = FLEET + '\n[prod:vars]\nzkprov_data_dir="/d/{{ inventory_hostname }}"\n'
        found = read_fleet(write(template))
        assert len(plays) == 1
        assert {h.data_dir for e in found.ensembles if e.name == "beta" for h in e.inventory.hosts} == {
            "/d/b1",
            "/d/b2",
        }
        found = read_fleet(write(template.replace("a1 zkprov_id=1", 'a1 zkprov_id=1 zkprov_unit="{{ nobody }}"')))
        assert [e.name for e in found.ensembles if e.wrong] == ["alpha"] and "zkprov_unit" in str(
            next(e.wrong for e in found.ensembles if e.wrong)
        )


class TestLimit:
    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("alpha", {"alpha"}), ("prod", {"alpha", "beta"}), ("prod:!alpha", {"beta"}), ("!prod:!brokers", {"test"}),
            ("*a", {"alpha", "beta"}), ("prod:&alpha", {"alpha"}), ("~^(test|beta)$", {"test", "beta"}), ("test,beta", {"test", "beta"}),
            ("al[p]*", {"alpha"}), ("a*", {"alpha", "beta", "test"}), ("all", {"alpha", "beta", "test"}),
        ],
    )  # fmt: skip
    def test_is_ansibles(self, pattern: str, expected: set[str]) -> None:
        assert {e.name for e in fleet_of(LISTED, "i.ini", pattern).ensembles} == expected

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            ("delta", "'delta' matches no group"), ("prod:!delta", "'!delta' matches no group"), ("a1", "takes a part of alpha: a1"),
            ("brokers", "matches no ensemble; there are"), ("", "empty"), (":", "empty"), ("~(", "~("), ("prod[77]", "77"),
            ("@/nowhere", "/nowhere"), ("!all", "matches no ensemble"),
        ],
    )  # fmt: skip
    def test_that_matches_nothing_or_half_of_one(self, pattern: str, words: str) -> None:
        with pytest.raises(BadInput, match=r"^--limit: ") as said:
            fleet_of(LISTED, "i.ini", pattern)
        assert words in str(said.value) and said.value.remedy

    def test_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "later").write_text("alpha\ntest\n")
        assert {e.name for e in fleet_of(LISTED, "i.ini", f"@{tmp_path / 'later'}").ensembles} == {"alpha", "test"}


def test_pure_choices_by_hand() -> None:
    groups = {"all": ("x", "y", "z"), "top": ("x", "y"), "a": ("x",), "b": ("y",), "ungrouped": ("z",)}
    children = {"all": ("ungrouped", "top"), "top": ("b", "a")}
    assert ensembles_in(groups, children, {}, {"x", "y", "z"}, "i") == ("b", "a")
    assert ensembles_in(groups, children, {"x": "top"}, {"x", "y", "z"}, "i") == ("top",)
    assert left_out(("b",), groups, {"x", "y", "z"}) == ("x", "z")
    assert only_whole(("b", "a"), groups, {"x"}, "p") == ("a",)


class TestOrder:
    names = ("a", "b", "c", "d")

    def test_canaries_are_named_else_marked_else_the_first(self) -> None:
        assert ordered(self.names, set(), FleetWish()) == (("a",), ("b", "c", "d"))
        assert ordered(self.names, {"d", "b"}, FleetWish()) == (("b", "d"), ("a", "c"))
        assert ordered(self.names, {"d"}, FleetWish(canaries=("c",))) == (("c",), ("a", "b", "d"))
        with pytest.raises(BadInput, match="no ensemble 'x'"):
            ordered(self.names, set(), FleetWish(canaries=("x",)))

    def test_a_canary_has_everything_to_itself(self) -> None:
        wish = FleetWish(parallel=3)
        assert may_begin(("a", "b"), ("c", "d"), {}, set(), wish) == ("a",)
        assert may_begin(("a", "b"), ("c", "d"), {}, {"a"}, wish) == ()
        assert may_begin(("a", "b"), ("c", "d"), {"a": 0}, set(), wish) == ("b",)
        assert may_begin(("a", "b"), ("c", "d"), {"a": 0, "b": 0}, set(), wish) == ("c", "d")
        assert may_begin(("a",), ("b", "c", "d"), {"a": 0}, {"b"}, FleetWish(parallel=2)) == ("c",)

    def test_nobody_after_more_failures_than_are_allowed_or_after_a_canarys(self) -> None:
        assert may_begin(("a",), ("b", "c"), {"a": 0, "b": 4}, set(), FleetWish()) == ()
        assert may_begin(("a",), ("b", "c"), {"a": 0, "b": 4}, set(), FleetWish(max_fail=1)) == ("c",)
        assert may_begin(("a",), ("b", "c"), {"a": 3}, set(), FleetWish(max_fail=9)) == ()

    def test_outlook(self) -> None:
        assert outlook(("a",), ("b", "c"), {}, FleetWish()) == ()
        assert outlook(("a",), ("b", "c"), {"b": 3}, FleetWish(parallel=2)) == ("c",)
        assert outlook(("a",), ("b", "c"), {"b": 3}, FleetWish(max_fail=1)) == ()
        assert outlook(("a",), ("b", "c"), {"a": 4}, FleetWish(max_fail=1)) == ("b", "c")

    @pytest.mark.parametrize("case", range(40))
    def test_against_a_simulation(self, case: int, rng: random.Random) -> None:
        """Whatever ends in whichever order: each is begun once, never more than allowed, and nobody after it is over."""
        names = tuple(f"e{i}" for i in range(rng.randrange(1, 12)))
        wish = FleetWish(rng.randrange(1, 5), rng.randrange(0, 3))
        canaries, others = ordered(names, {n for n in names if rng.random() < 0.2}, wish)
        ended: dict[str, int] = {}
        running: list[str] = []
        begun: list[str] = []
        while True:
            following = may_begin(canaries, others, ended, set(running), wish)
            assert not (following and over(canaries, ended, wish))
            running += following
            begun += following
            assert len(running) <= wish.parallel and (len(running) == 1 or not set(running) & set(canaries))
            if not running:
                break
            ended[running.pop(rng.randrange(len(running)))] = rng.choice((0, 0, 0, 0, 3, 4, 7))
        assert len(begun) == len(set(begun)) and begun[: len(canaries)] == list(canaries)[: len(begun)]
        failed = [n for n, code in ended.items() if code]
        assert len(begun) == len(names) or len(failed) > wish.max_fail or set(failed) & set(canaries)


def test_codes() -> None:
    assert worst([0, 0]) == 0 and worst([]) == 0
    assert worst([0, 4, 3, 4]) == 3 and worst([0, 2, 4]) == 4 and worst([0, 2]) == 2 and worst([1, 4]) == 1
    assert exit_code([("a", 0), ("b", 0)], whole=True) == 0
    assert exit_code([("a", 0), ("b", 4), ("c", 3)], whole=False) == 4
    assert exit_code([("a", 0)], whole=False) == 7
    assert exit_code([("a", 6), ("b", 7)], whole=True) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "--all", "-E", "beta"), "-E beta is for one"),
        (("-E", "beta", "check", "--all"), "-E beta is for one"),
        (("status", "--all", "--connect", "h:1"), "leave --connect out"),
        (("status", "--all", "--watch"), "--watch is for one ensemble"),
        (("restart", "--all", "--only", "b1", "--yes"), "--only names servers of one ensemble"),
        (("restart", "--parallel", "2", "-E", "beta", "--yes"), "go with --all or --limit"),
        (("upgrade", "--max-fail", "1", "--to", "3.9.5", "-E", "beta", "--yes"), "go with --all or --limit"),
        (("restart", "--all", "--parallel", "0"), "--parallel"),
        (("adopt", "--all", "--output", "json", "--events", "-"), "would both write to stdout"),
    ],
)
def test_wrong_usage(write, arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(zkprov, ["-i", write(FLEET), *arguments])
    assert done.exit_code == 2 and words in done.output


def test_an_unknown_canary_is_told_before_anything_is_planned(write, monkeypatch: pytest.MonkeyPatch) -> None:
    from zkprov.run import fleet

    def never(*_: Any) -> None:
        raise AssertionError("a zkprov was started")

    monkeypatch.setattr(fleet, "Child", never)
    for arguments, words in (
        (("restart", "--all", "--canary", "delta", "--yes"), "no ensemble 'delta'"),
        (("restart", "--limit", "alpha", "--canary", "beta", "--yes"), "no ensemble 'beta'"),
        (("restart", "--limit", "gamma", "--yes"), "'gamma' matches no group"),
    ):
        done = CliRunner().invoke(zkprov, ["-i", write(FLEET), *arguments])
        assert isinstance(done.exception, BadInput) and words in str(done.exception)


DOCS = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"


def test_the_files_of_the_docs_are_files_and_their_commands_exist() -> None:
    """Not played: what spreads the work is not ours. What is called there is."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.S | re.M)
    documents = [yaml.safe_load(block) for block in blocks]
    assert len(documents) == 4
    lines = [
        line for block in blocks for line in re.findall(r"\bzkprov (?:status|check|restart|upgrade)\b[^\n>]*", block)
    ]
    called = [shlex.split(line) for line in lines]
    plays = [
        task["ansible.builtin.command"]["argv"] for d in documents if isinstance(d, list) for task in d[0]["tasks"]
    ]
    assert len(called) == 3 and len(plays) == 3
    for _, name, *arguments in (*called, *plays):
        command = zkprov.get_command(Context(zkprov), name)
        assert command is not None
        command.make_parser(Context(command)).parse_args([a.replace("$RELEASE", "3.9.5") for a in arguments])


class TestWaves:
    def found(self, count: int) -> list[Found]:
        hosts = tuple(InventoryHost(f"z{n}", "h") for n in range(5))
        return [Found(f"e{n}", Inventory(f"e{n}", "i", hosts, "")) for n in range(count)]

    def test_all_at_once_where_there_are_descriptors_enough(self) -> None:
        assert [len(w) for w in waves(self.found(7), 1000)] == [7]
        assert [len(w) for w in waves([], 10)] == [0]

    def test_else_as_many_as_there_are_for(self) -> None:
        found = waves(self.found(7), 45)
        assert [len(w) for w in found] == [2, 2, 2, 1]
        assert [e.name for w in found for e in w] == [f"e{n}" for n in range(7)]
        assert [len(w) for w in waves(self.found(2), 4)] == [1, 1]
        wrong = Found("x", wrong=BadInput("x"))
        assert [len(w) for w in waves([wrong, *self.found(1), wrong], 20)] == [3]


NOBODY = """
[beta]
b1 zkprov_id=1 zkprov_client_port=1 zkprov_config_dir=/nowhere/b
[alpha]
a1 zkprov_id=1 zkprov_client_port=2 zkprov_config_dir=/nowhere/a zkprov_quorum_port=3 zkprov_election_port=4 zkprov_data_dir=/nowhere/d
[all:vars]
zkprov_address=127.0.0.1
zkprov_admin_port=0
ansible_connection=local
"""


def test_ensembles_that_are_not_there(write, tmp_path: Path) -> None:
    """The way through other zkprovs, without a server: nobody has a plan, so the first is told and the rest is not begun."""
    journal, junit = tmp_path / "journal.db", tmp_path / "junit.xml"
    base = ["--journal", str(journal), "-i", write(NOBODY)]
    done = CliRunner().invoke(zkprov, [*base, "check", "--all", "--output", "json"])
    assert done.exit_code == 4
    assert [(r["ensemble"], r["verdict"]) for r in json.loads(done.stdout)["ensembles"]] == [
        ("beta", "unknown"),
        ("alpha", "unknown"),
    ]
    done = CliRunner().invoke(
        zkprov, [*base, "restart", "--all", "--output", "json", "--reason", "-x ü", "--junit", str(junit)]
    )
    assert done.exit_code == 4, done.output
    document = msgspec.json.decode(done.stdout, type=FleetChangeDocument)
    first, second = document.ensembles
    assert (first.ensemble, first.outcome, first.exit_code) == (
        "beta",
        "not healthy",
        4,
    ) and "no server tells the list" in first.headline
    assert first.next == [f"zkprov status -i {base[-1]} -E beta"]
    assert (second.ensemble, second.outcome, second.exit_code) == (
        "alpha",
        "not begun",
        None,
    ) and "alpha" in document.next[0]
    assert not journal.exists(), "nothing was begun"
    cases = {c.get("name"): [x.tag for x in c] for c in ElementTree.parse(junit).getroot().iter("testcase")}
    assert cases == {"beta": ["failure"], "alpha": ["skipped"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("restart", "--all", "--override", "R2", "--reason", "x", "--yes"), "R2"),
        (("upgrade", "--all", "--to", "nonsense", "--yes"), "not a ZooKeeper release"),
    ],
)
def test_what_one_of_them_takes_for_a_wrong_call_ends_it_for_all(write, arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(zkprov, ["-i", write(NOBODY), *arguments])
    assert isinstance(done.exception, BadInput) and words in str(done.exception)
    assert done.exception.place in ("alpha", "beta") and "ensemble  outcome" not in done.output
