"""How every test runs: one seed, a sample of each matrix, no skip that hides, and nothing of the person's own touched."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

CI = bool(os.environ.get("CI"))
AMONG = 2
FEWER = {"stories on hosts": 1, "heals": 1}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("zkprov")
    group.addoption("--whole", action="store_true", help="whole matrices and many examples, instead of a sample")
    group.addoption("--seed", type=int, help="what samples are drawn by (default: $ZKPROV_SEED, else by chance)")
    group.addoption("--tally", metavar="FILE", help="append what becomes of each test to FILE, as JSON lines")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "matrix(keep, of, among): of the parameters of this test, or of all tests with the same `of`, draw `keep` unless --whole",
    )
    # xdist hands the options to its workers, so what is decided here holds in all of them.
    if config.option.seed is None:
        config.option.seed = int(os.environ.get("ZKPROV_SEED") or random.SystemRandom().randrange(1_000_000))
    config.option.whole = config.option.whole or bool(os.environ.get("ZKPROV_WHOLE"))
    if config.option.whole:
        os.environ["ZKPROV_WHOLE"] = "1"
    if config.pluginmanager.has_plugin("hypothesispytest"):
        _set_up_hypothesis(config)
    if not _is_worker(config):
        config.pluginmanager.register(_Told(config), "zkprov-told")


def _set_up_hypothesis(config: pytest.Config) -> None:
    from hypothesis import HealthCheck, settings

    slow = [HealthCheck.too_slow]
    settings.register_profile("sample", deadline=None, print_blob=True, suppress_health_check=slow)
    settings.register_profile("whole", settings.get_profile("sample"), max_examples=2000)
    if not config.option.hypothesis_profile:
        settings.load_profile("whole" if config.option.whole else "sample")
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = config.option.seed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of each test with `@pytest.mark.matrix(keep=N)`, keep N of its cases, drawn by the seed and the test's own name.

    `of="…"` makes one matrix of all tests that have it. Of all matrices with the same `among="…"` two are drawn at all
    (or as many as `FEWER` says).
    """
    if config.option.whole:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    keep: dict[str, int] = {}
    rivals: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if mark := item.get_closest_marker("matrix"):
            test = mark.kwargs.get("of") or item.nodeid.partition("[")[0]
            cases[test].append(item)
            keep[test] = mark.kwargs["keep"]
            if among := mark.kwargs.get("among"):
                rivals[among].add(test)
    dropped = set[pytest.Item]()
    for among, matrices in rivals.items():
        drawn_ones = random.Random(f"{config.option.seed}:{among}").sample(
            sorted(matrices), min(FEWER.get(among, AMONG), len(matrices))
        )
        for test in matrices.difference(drawn_ones):
            keep[test] = 0
    for test, of_test in cases.items():
        drawn = random.Random(f"{config.option.seed}:{test}").sample(of_test, min(keep[test], len(of_test)))
        dropped |= set(of_test) - set(drawn)
    if dropped:
        config.hook.pytest_deselected(items=[item for item in items if item in dropped])
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture(scope="session", autouse=True)
def nothing_of_yours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Labs, journals, defaults and the CI of whoever runs the tests are neither seen nor touched. The download cache is shared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        kept = ("ZKPROV_SEED", "ZKPROV_WHOLE", "ZKPROV_TEST_RUN", "ZKPROV_OUTCOMES")
        of_ci = ("GITHUB_", "GITLAB_")
        for name in [n for n in os.environ if n.startswith(("ZKPROV_", *of_ci)) and n not in kept]:
            patch.delenv(name)
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance that the seed repeats; each test has its own, whatever runs before it."""
    return random.Random(f"{request.config.option.seed}:{request.node.nodeid}")


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


class _Told:
    """In the process that sums up: records each test, and makes a skip in CI a failure that names the test."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.skipped: list[tuple[str, str]] = []
        self.tally = Path(config.option.tally) if config.option.tally else None

    def pytest_report_header(self) -> str:
        what = "whole matrices" if self.config.option.whole else "a sample of each matrix"
        return f"zkprov: {what}, --seed {self.config.option.seed}"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._record(nodeid, "started")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self._report(report)
        if report.when == "teardown":
            self._record(report.nodeid, "ended")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._report(report)

    def _report(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        outcome, why = str(report.outcome), ""
        if report.skipped and hasattr(report, "wasxfail"):
            outcome = "passed"
        elif report.skipped:
            why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
            why = why.removeprefix("Skipped: ")
            self.skipped.append((report.nodeid, why))
        self._record(report.nodeid, outcome, why)

    def _record(self, test: str, outcome: str, why: str = "") -> None:
        if self.tally:
            with self.tally.open("a") as file:
                file.write(json.dumps({"test": test, "outcome": outcome, "why": why}) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if CI and self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if CI and self.skipped:
            terminalreporter.section("skipped, which CI does not allow", red=True)
            for test, why in self.skipped:
                terminalreporter.line(f"SKIPPED {test}: {why}", red=True)
        terminalreporter.line(f"--seed {self.config.option.seed} repeats this sample")
