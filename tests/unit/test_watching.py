"""What a watch tells others: notifications, a plugin's line, Prometheus' figures; and that their failure fails nothing."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.facts_made import Made, healthy, outage, woken
from zkprov.cli import zkprov
from zkprov.cli.watching import Outlets
from zkprov.judge.incidents import Shape
from zkprov.model.problems import BadInput
from zkprov.report.documents import StatusDocument, status_document
from zkprov.report.watching import SHAKY_S, Changes, metrics, nagios
from zkprov.run import notices
from zkprov.run.notices import Notifier, deliver, receiver_of


def document(made: Made) -> StatusDocument:
    return status_document(made.health())


def wait_for(fact: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestChanges:
    def test_safety_is_not_news(self) -> None:
        assert Changes().seen(document(healthy(3)), 0.0) is None

    def test_a_danger_is_told_at_once_and_once(self) -> None:
        changes = Changes()
        changes.seen(document(healthy(3)), 0.0)
        told = changes.seen(document(outage()), 1.0)
        assert told is not None
        assert (told.was, told.verdict, told.incidents) == ("safe", "unsafe", ["second-leader"])
        assert told.status.incidents[0].sides[1].ids == [4, 5, 6, 7]
        assert changes.seen(document(outage()), 2.0) is None
        back = changes.seen(document(healthy(3)), 3.0)
        assert back is None, "it may be a moment"
        back = changes.seen(document(healthy(3)), 3.0 + SHAKY_S)
        assert back is not None and (back.was, back.verdict) == ("unsafe", "safe")

    def test_a_watch_that_begins_in_danger(self) -> None:
        told = Changes().seen(document(outage()), 0.0)
        assert told is not None and told.was == ""

    def test_an_election_is_not_news(self) -> None:
        changes = Changes()
        for made, at in (
            (healthy(3), 0.0),
            (woken(), 1.0),
            (healthy(3).down(1), 2.0),
            (healthy(3), 9.0),
            (woken(), 20.0),
        ):
            assert changes.seen(document(made), at) is None
        assert changes.seen(document(healthy(3).down(1)), 40.0) is None
        told = changes.seen(document(healthy(3).down(1)), 40.0 + SHAKY_S)
        assert told is not None and told.verdict == "degraded"


class TestNagios:
    @pytest.mark.parametrize(
        ("made", "word", "code"),
        [
            (healthy(3), "OK", 0),
            (healthy(3).down(1), "WARNING", 1),
            (outage(), "CRITICAL", 2),
            (healthy(3).down(1, 2, 3), "UNKNOWN", 3),
        ],
    )
    def test_of_each_verdict(self, made: Made, word: str, code: int) -> None:
        said, got = nagios(document(made))
        first = said.splitlines()[0]
        assert got == code and first.startswith(f"ZOOKEEPER {word} - kafka-zk: ")
        assert first.count("|") == 1
        figures = dict(f.split("=") for f in first.split("|")[1].split())
        assert set(figures) == {"leaders", "voters", "may_fail", "answering", "beside", "incidents", "took"}

    def test_an_incident_is_told_whole(self) -> None:
        said, _ = nagios(document(outage()))
        assert "second-leader: two leaders" in said.splitlines()[0]
        assert "zkprov heal --plan" in said and "zk7: leads {4,5,6,7}" in said

    def test_what_a_server_says_is_no_figure(self) -> None:
        row = document(healthy(3))
        hostile = json.loads(json.dumps({"name": "a|b\nc"}))["name"]
        import msgspec

        changed = msgspec.structs.replace(row, ensemble=msgspec.structs.replace(row.ensemble, name=hostile))
        first = nagios(changed)[0].splitlines()[0]
        assert first.count("|") == 1 and "a/b c" in first

    def test_what_goes_wrong_is_unknown(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "none.yml")
        done = CliRunner().invoke(zkprov, ["-i", missing, "check", "--output", "nagios"])
        assert done.exit_code == 3 and done.output.startswith("ZOOKEEPER UNKNOWN - "), done.output


class TestMetrics:
    def figures(self, made: Made) -> dict[tuple[str, ...], float]:
        text = metrics(document(made), 1000.0).decode()
        return {
            (s.name, *(v for k, v in sorted(s.labels.items()) if k != "ensemble")): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    def test_of_an_ensemble_that_is_well(self) -> None:
        found = self.figures(healthy(3))
        assert found[("zkprov_verdict", "safe")] == 1 and found[("zkprov_verdict", "unsafe")] == 0
        assert (found[("zkprov_leaders",)], found[("zkprov_sides",)], found[("zkprov_voters_spare",)]) == (1, 1, 1)
        assert found[("zkprov_server_zxid", "2", "zk2")] == 0x7000004A1
        assert all(found[("zkprov_incident", str(shape))] == 0 for shape in Shape)
        assert found[("zkprov_look_timestamp_seconds",)] == 1000

    def test_of_the_outage(self) -> None:
        found = self.figures(outage())
        assert found[("zkprov_verdict", "unsafe")] == 1 and found[("zkprov_incident", "second-leader")] == 1
        assert (found[("zkprov_leaders",)], found[("zkprov_sides",)], found[("zkprov_servers_beside",)]) == (2, 2, 4)

    def test_a_file_that_cannot_be_written_is_told_once(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = Outlets(tmp_path / "gone" / "zk.prom", None)
        for _ in range(3):
            out.looked(healthy(3).health(), document(healthy(3)))
        assert capsys.readouterr().err.count("could not be written") == 1

    def test_the_file_is_whole_and_alone(self, tmp_path: Path) -> None:
        out = Outlets(tmp_path / "zk.prom", None)
        out.looked(outage().health(), document(outage()))
        assert [p.name for p in tmp_path.iterdir()] == ["zk.prom"]
        assert b'zkprov_incident{ensemble="kafka-zk",shape="second-leader"} 1.0' in (tmp_path / "zk.prom").read_bytes()


class TestReceivers:
    @pytest.mark.parametrize(
        "text", ["", "   ", "no-such-program-here x", "a 'b", "https://", "http://[::1", "https://a b/"]
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(BadInput):
            receiver_of(text, "--notify")

    def test_an_address_is_never_shown(self) -> None:
        to = receiver_of("https://me:pass@hooks.example/T0/secret?token=abc", "--notify")
        assert str(to) == "https://hooks.example/…"
        assert str(receiver_of("sh -c secret", "--notify")) == "sh"
        with pytest.raises(BadInput) as wrong:
            receiver_of("https://hooks example/secret", "--notify")
        assert "secret" not in str(wrong.value)

    def test_nor_by_an_error(self) -> None:
        to = receiver_of("http://127.0.0.1:1/secret-path?token=secret-token", "--notify")
        said = deliver(to, b"{}", threading.Event(), 2.0)
        assert "failed" in said and "secret" not in said


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes], list[int]]]:
    """(address, what came, the answers to give: 200 where none is left)."""
    came: list[bytes] = []
    answers: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", came, answers
    finally:
        server.shutdown()
        server.server_close()


class TestNotifier:
    def test_a_command_gets_it_on_its_standard_input(self, tmp_path: Path) -> None:
        said: list[str] = []
        with Notifier(receiver_of(f"tee -a {tmp_path / 'told'}", ""), said.append) as notifier:
            notifier.tell(b'{"n":1}\n')
            notifier.tell(b'{"n":2}\n')
        assert (tmp_path / "told").read_text() == '{"n":1}\n{"n":2}\n' and not said

    def test_a_webhook(self, hook: tuple[str, list[bytes], list[int]]) -> None:
        url, came, _ = hook
        with Notifier(receiver_of(url, ""), lambda _: None) as notifier:
            notifier.tell(b"{}")
        assert came == [b"{}"]

    def test_again_after_a_failure_and_the_latest_only(
        self, hook: tuple[str, list[bytes], list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notices, "AGAIN_S", 0.2)
        url, came, answers = hook
        answers += [503, 503]
        said: list[str] = []
        with Notifier(receiver_of(url, ""), said.append) as notifier:
            notifier.tell(b"1")
            wait_for(lambda: len(said) == 1)
            notifier.tell(b"2")
            notifier.tell(b"3")
            wait_for(lambda: len(came) == 3)
        assert came == [b"1", b"3", b"3"]
        assert all("503" in x and "again in" in x and "/hook" not in x for x in said)

    def test_telling_never_waits(self) -> None:
        began = time.monotonic()
        with Notifier(receiver_of("sleep 30", ""), lambda _: None) as notifier:
            for _ in range(50):
                notifier.tell(b"{}")
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 15


class TestOptions:
    def run(self, *words: str) -> tuple[int, str]:
        done = CliRunner().invoke(zkprov, [*words])
        return done.exit_code, done.output if done.exit_code == 2 else f"{done.output}{done.exception}"

    def test_notify_goes_with_watch(self) -> None:
        code, said = self.run("status", "--connect", "127.0.0.1:1", "--notify", "true")
        assert code == 2 and "--watch" in said

    def test_a_notification_that_cannot_be(self) -> None:
        done = CliRunner().invoke(
            zkprov, ["status", "--connect", "127.0.0.1:1", "--watch", "--notify", "no-such-program"]
        )
        assert isinstance(done.exception, BadInput)

    def test_a_metrics_file_that_cannot_be(self, tmp_path: Path) -> None:
        words = ["check", "--connect", "127.0.0.1:1", "--metrics-file", str(tmp_path / "none" / "x.prom")]
        assert isinstance(CliRunner().invoke(zkprov, words).exception, BadInput)

    def test_of_one_ensemble_alone(self) -> None:
        code, said = self.run("check", "--all", "--output", "nagios")
        assert code == 3 and "for one ensemble" in said
