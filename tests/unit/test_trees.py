"""Trees of servers compared by stats: what differs and stands still is told, what a client writes just now is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import healthy
from zkprov.judge.trees import alike, differing, standing
from zkprov.model.tree import Compared, Difference, Tree, Znode
from zkprov.report.documents import status_document

A, B, C = Znode(1, 1, 0, 3, 0), Znode(1, 2, 1, 3, 0), Znode(5, 5, 0, 0, 0)

nodes = st.sampled_from([A, B, C])
trees = st.dictionaries(st.sampled_from(["/a", "/b", "/c/d"]), nodes)


def test_paths_that_differ() -> None:
    one, other = Tree("zk1", {"/a": A, "/b": A, "/c": C}), Tree("zk2", {"/a": A, "/b": B})
    assert differing([one, other]) == ["/b", "/c"]
    assert differing([one]) == [] and differing([]) == []


@given(trees, trees, trees)
def test_equal_trees_never_differ_and_others_always_do(
    one: dict[str, Znode], two: dict[str, Znode], three: dict[str, Znode]
) -> None:
    made = [Tree(f"zk{n}", t) for n, t in enumerate((one, two, three))]
    assert (differing(made) == []) == (one == two == three)
    found = tuple(Difference(p, {t.server: t.znodes.get(p) for t in made}) for p in differing(made))
    groups = alike([t.server for t in made], found)
    assert sorted(n for g in groups for n in g) == ["zk0", "zk1", "zk2"]
    by = {t.server: t.znodes for t in made}
    assert all(by[n] == by[g[0]] for g in groups for n in g)
    assert len({str(sorted(by[g[0]].items(), key=str)) for g in groups}) == len(groups)


def test_what_moves_is_not_told() -> None:
    before = {"zk1": {"/a": A, "/b": A}, "zk2": {"/a": B, "/b": B}}
    now = {"zk1": {"/a": A, "/b": B}, "zk2": {"/a": B, "/b": B}}
    assert [d.path for d in standing(["/a", "/b"], before, now)] == ["/a"]
    now["zk1"]["/a"] = C
    assert standing(["/a"], before, now) == ()


def test_a_difference_is_an_incident_where_no_digest_tells_it() -> None:
    found = Difference("/app", {"zk1": A, "zk2": None, "zk3": A})
    compared = Compared(("zk1", "zk2", "zk3"), 12, (found,), (("zk1", "zk3"), ("zk2",)))
    health = healthy(3).health(trees=compared)
    (incident,) = health.incidents
    assert (str(incident.shape), [s.ids for s in incident.sides]) == ("merged", [frozenset({1, 3}), frozenset({2})])
    assert "the trees of {1,3} and {2} differ at 1 of 12 znodes" in incident.sentence
    assert "/app: zk1, zk3: czxid 0x1" in str(incident.evidence[0]) and "zk2: none" in str(incident.evidence[0])
    assert status_document(health, compared).trees == compared
    equal = Compared(("zk1", "zk2", "zk3"), 12, (), (("zk1", "zk2", "zk3"),))
    assert healthy(3).health(trees=equal).incidents == ()
