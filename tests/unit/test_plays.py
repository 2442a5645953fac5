"""Playbooks carried out by the real Ansible on this machine: what is laid over what, what fails how, and what is left behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zkprov.act import plays as plays_module
from zkprov.act.play_events import Told, hear, message_of
from zkprov.act.plays import PlayFailed, Plays, playbooks_digest
from zkprov.model.problems import BadInput, Interrupted, NotHealthy
from zkprov.shipped import shipped

CANARY = "c4n4ry-7f3a"
HOST = "zk1"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.ini"
    path.write_text(f"[zk]\n{HOST} ansible_connection=local ansible_python_interpreter={sys.executable}\nzk2\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "playbooks"
    path.mkdir()
    return path


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def plays(inventory: Path, folder: Path, tmp_path: Path, events: list[dict[str, Any]]) -> Plays:
    return Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "artifacts", on_event=events.append)


def playbook(folder: Path, name: str, tasks: str) -> None:
    indented = "\n".join(f"    {line}" for line in tasks.strip("\n").splitlines())
    (folder / f"{name}.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{indented}\n")


def hook(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def everything_below(folder: Path) -> str:
    return "\n".join(
        f"{path}\n{path.read_text(errors='replace')}" for path in sorted(folder.rglob("*")) if path.is_file()
    )


def test_what_changed_and_what_was_given_back(
    plays: Plays, folder: Path, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    playbook(
        folder,
        "lay",
        """
- name: Lays it
  ansible.builtin.copy:
    dest: "{{ place }}"
    content: "{{ what }}"
- name: Gives it back
  ansible.builtin.set_fact:
    zkprov_result: {found: "{{ lookup('file', zkprov_files ~ '/a') }}"}
""",
    )
    place = tmp_path / "laid"
    given = {"place": str(place), "what": "one\n"}
    seen = plays.play("lay", HOST, given, {"a": "of a file"}, check=True, diff=True)
    assert (seen.changed, seen.diff[-1], place.exists()) == (1, "+one", False)
    first = plays.play("lay", HOST, given, {"a": b"of a file"})
    assert (first.changed, first.facts, place.read_text()) == (1, {"found": "of a file"}, "one\n")
    assert [(e["task"], e["changed"]) for e in events[-2:]] == [("Lays it", True), ("Gives it back", False)]
    assert {e["host"] for e in events} == {HOST}, "the named host alone"


def test_the_operator_s_file_is_used_instead_of_ours(inventory: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "templates").mkdir()
    (folder / "templates" / "zookeeper.service.j2").write_text("of the operator")
    task = "- ansible.builtin.set_fact: {zkprov_result: {text: \"{{ lookup('template', 'zookeeper.service.j2') }}\"}}"
    playbook(folder, "stop", task)
    plays = Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "artifacts")
    assert plays.play("stop", HOST).facts == {"text": "of the operator"}


def test_a_digest_tells_when_a_playbook_is_another(folder: Path) -> None:
    ours = playbooks_digest(None)
    playbook(folder, "stop", "- ansible.builtin.debug:")
    mine = playbooks_digest(folder)
    assert len({ours, mine, playbooks_digest(folder)}) == 2
    (folder / ".hidden").write_text("x")
    assert playbooks_digest(folder) == mine
    (folder / "vars").mkdir()
    (folder / "vars" / "a.yml").write_text("a: 1")
    assert playbooks_digest(folder) != mine


def test_a_failed_task_is_named_with_its_reason(plays: Plays, folder: Path, events: list[dict[str, Any]]) -> None:
    playbook(folder, "bad", '- name: Cannot be\n  ansible.builtin.fail:\n    msg: "first\\n  second\\e[31m"')
    with pytest.raises(PlayFailed, match=r"^zk1: bad\.yml, task `Cannot be`: first second") as failed:
        plays.play("bad", HOST)
    assert "\x1b" not in str(failed.value) and "\n" not in str(failed.value)
    assert (failed.value.place, failed.value.task, failed.value.exit_code) == (HOST, "Cannot be", 4)
    assert "ansible-playbook -i" in failed.value.remedy
    assert events[-1]["message"].startswith("first second")


def test_a_failure_that_the_playbook_takes_care_of_is_none(plays: Plays, folder: Path) -> None:
    playbook(
        folder,
        "careful",
        """
- block:
    - ansible.builtin.fail:
  rescue:
    - ansible.builtin.set_fact: {zkprov_result: {rescued: true}}
- ansible.builtin.fail:
  ignore_errors: true
""",
    )
    assert plays.play("careful", HOST).facts == {"rescued": True}


def test_a_host_that_is_not_reached(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "inventory.ini"
    # a port on which nothing listens: the discard protocol's, on the loopback
    path.write_text(f"{HOST} ansible_host=127.0.0.1 ansible_port=9 ansible_user=nobody\n")
    playbook(folder, "any", "- name: Looks\n  ansible.builtin.command: id")
    with pytest.raises(NotHealthy, match=r"zk1: any\.yml, task `Looks`: not reached: .*refused") as failed:
        Plays(str(path), playbooks=folder, artifacts=tmp_path / "artifacts").play("any", HOST)
    assert not isinstance(failed.value, PlayFailed) and "-m ping" in failed.value.remedy


@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("no yaml", "- hosts: [", r"zk1: odd\.yml: .*YAML"),
        ("no module", "- hosts: all\n  tasks:\n  - no_such_module:\n", r"zk1: odd\.yml: .*no_such_module"),
        ("nobody", "- hosts: nobody\n  tasks: []\n", None),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_a_playbook_that_is_none(plays: Plays, folder: Path, name: str, text: str, expected: str | None) -> None:
    (folder / "odd.yml").write_text(text)
    if expected is None:
        assert plays.play("odd", HOST).changed == 0
        return
    with pytest.raises(NotHealthy, match=expected):
        plays.play("odd", HOST)


def test_a_host_that_ansible_does_not_know(plays: Plays, folder: Path) -> None:
    playbook(folder, "any", "- ansible.builtin.debug:")
    with pytest.raises(NotHealthy, match=r"zk9: any\.yml: .*no hosts"):
        plays.play("any", "zk9")


def test_a_playbook_or_folder_that_is_not_there(plays: Plays, inventory: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no playbook nothing\.yml"):
        plays.play("nothing", HOST)
    with pytest.raises(BadInput, match="no such folder of playbooks"):
        Plays(str(inventory), playbooks=tmp_path / "none", artifacts=tmp_path)


def test_too_much_in_a_folder_of_playbooks(plays: Plays, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plays_module, "_MOST_BYTES", 10**6)
    (folder / "image.iso").write_bytes(bytes(2 * 10**6))
    with pytest.raises(BadInput, match="more than"):
        plays.play("stop", HOST)


def test_without_ansible(plays: Plays, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playbook(folder, "any", "- ansible.builtin.debug:")
    monkeypatch.setitem(sys.modules, "ansible_runner", None)
    with pytest.raises(NotHealthy, match="ansible-runner cannot be loaded") as failed:
        plays.play("any", HOST)
    assert "pip install" in failed.value.remedy


def processes_with(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(w == word.encode() for w in words):
                found.append(int(entry.name))
    return found


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_play_that_does_not_end(inventory: Path, folder: Path, tmp_path: Path) -> None:
    playbook(folder, "long", f"- name: Waits\n  ansible.builtin.command: sleep 6{os.getpid()}")
    plays = Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "artifacts", timeout_s=4)
    with pytest.raises(NotHealthy, match=r"zk1: long\.yml.*: took more than 4 s"):
        plays.play("long", HOST)
    until(lambda: not processes_with(f"6{os.getpid()}"))


def test_a_play_can_be_stopped(inventory: Path, folder: Path, tmp_path: Path) -> None:
    playbook(folder, "long", f"- name: Waits\n  ansible.builtin.command: sleep 7{os.getpid()}")
    stop = threading.Event()
    plays = Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "artifacts", stop=stop)
    raised: list[BaseException] = []

    def play() -> None:
        try:
            plays.play("long", HOST)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    until(lambda: processes_with(f"7{os.getpid()}"))
    stop.set()
    began = time.monotonic()
    thread.join(30)
    assert isinstance(raised[0], Interrupted) and "task `Waits`" in str(raised[0])
    assert time.monotonic() - began < 20, "the play itself would take two hours"
    until(lambda: not processes_with(f"7{os.getpid()}"))


def test_a_play_of_a_zkprov_that_was_killed_is_ended_by_the_next(plays: Plays, folder: Path, tmp_path: Path) -> None:
    playbook(folder, "any", "- ansible.builtin.debug:")
    left = plays.artifacts / ".play-left"
    (left / "files").mkdir(parents=True)
    (left / "lock").touch()
    (left / "files" / "zoo.cfg").write_text(CANARY)
    with subprocess.Popen(["sleep", "1000"], env={plays_module._MARK: left.name}) as orphan:
        plays.play("any", HOST)
        assert orphan.wait(10) == -9
    assert not left.exists()


def test_no_secret_is_left_behind_or_told(plays: Plays, folder: Path, tmp_path: Path, events: list[Any]) -> None:
    seen = tmp_path / "seen"
    hook(folder, "watch", f"for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done >{seen} 2>/dev/null || true")
    playbook(
        folder,
        "secret",
        f"""
- name: While it runs
  ansible.builtin.command: {folder}/watch
- name: A variable
  ansible.builtin.debug: {{msg: "{{{{ password }}}}"}}
  no_log: true
- name: A file
  ansible.builtin.copy: {{src: "{{{{ zkprov_files }}}}/zoo.cfg", dest: "{tmp_path}/there", mode: "0600"}}
- name: Fails
  ansible.builtin.command: "false {{{{ password }}}}"
  no_log: true
""",
    )
    with pytest.raises(PlayFailed, match="its output is withheld") as failed:
        plays.play("secret", HOST, {"password": CANARY}, {"zoo.cfg": f"password={CANARY}\n"}, diff=True)
    assert CANARY in (tmp_path / "there").read_text()
    assert CANARY not in seen.read_text() and "ansible-playbook" in seen.read_text()
    assert CANARY not in everything_below(plays.artifacts)
    assert CANARY not in f"{failed.value}{failed.value.remedy}{events}"
    assert not list(plays.artifacts.glob(".play*"))
    (kept,) = plays.artifacts.iterdir()
    assert kept.name == "001-secret-zk1.jsonl" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    lines = [msgspec.json.decode(line) for line in kept.read_bytes().splitlines()]
    assert [line["outcome"] for line in lines] == ["ok", "ok", "ok", "failed"]


def test_a_folder_that_cannot_be_written(inventory: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotHealthy, match="cannot write"):
        Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "file" / "artifacts").play("stop", HOST)


def test_the_operator_s_own_settings_hold(
    plays: Plays, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ansible.cfg").write_text("[defaults]\nvault_password_file = ./password\n")
    (home / "password").write_text("vault word")
    monkeypatch.chdir(home)
    vaulted = subprocess.run(
        [Path(sys.executable).with_name("ansible-vault"), "encrypt_string", "--name", "secret", "hidden"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "zk.yml").write_text(vaulted)
    playbook(folder, "vault", "- ansible.builtin.set_fact: {zkprov_result: {length: '{{ secret | length }}'}}")
    assert int(plays.play("vault", HOST).facts["length"]) == len("hidden")


def test_a_hook_gets_to_know_what_it_is_for(plays: Plays, folder: Path, tmp_path: Path) -> None:
    hook(folder, "before-start", f'echo "$ZKPROV_HOST $ZKPROV_PHASE $ZKPROV_RUN" >{tmp_path}/told')
    task = (
        f"- ansible.builtin.copy: {{dest: {tmp_path}/played, content: '{{{{ zkprov_phase }}}} {{{{ zkprov_run }}}}'}}"
    )
    playbook(folder, "after-start", task)
    assert plays.hooks("before", "start", HOST, "r1")
    assert (tmp_path / "told").read_text() == "zk1 start r1\n"
    assert plays.hooks("after", "start", HOST, "r1")
    assert (tmp_path / "played").read_text() == "start r1"
    assert not plays.hooks("before", "stop", HOST, "r1")


def test_a_hook_that_fails_stops_what_it_is_for(plays: Plays, folder: Path) -> None:
    path = hook(folder, "before-start", "echo one; echo 'no change window' >&2; exit 3")
    expected = r"^zk1: the hook before-start failed with exit code 3: no change window$"
    with pytest.raises(NotHealthy, match=expected) as failed:
        plays.hooks("before", "start", HOST, "r1")
    assert str(path) in failed.value.remedy
    playbook(folder, "after-start", "- ansible.builtin.fail: {msg: not today}")
    with pytest.raises(NotHealthy, match=r"after-start\.yml, task .*: not today"):
        plays.hooks("after", "start", HOST, "r1")


def test_a_hook_that_cannot_be_run_or_does_not_end(inventory: Path, folder: Path, tmp_path: Path) -> None:
    hook(folder, "before-start", "").chmod(0o644)
    hook(folder, "before-stop", "sleep 1000")
    plays = Plays(str(inventory), playbooks=folder, artifacts=tmp_path / "artifacts", timeout_s=0.3)
    with pytest.raises(NotHealthy, match="the hook before-start cannot be run: Permission denied"):
        plays.hooks("before", "start", HOST, "r1")
    with pytest.raises(NotHealthy, match="the hook before-stop took more than"):
        plays.hooks("before", "stop", HOST, "r1")


def test_without_a_folder_of_their_own_there_are_no_hooks(inventory: Path, tmp_path: Path) -> None:
    assert not Plays(str(inventory), artifacts=tmp_path).hooks("before", "start", HOST, "r1")


def test_plays_on_several_hosts_at_once(folder: Path, tmp_path: Path) -> None:
    """Each waits for all of the others, so that none would end if they came one after another; and all write into one folder of records."""
    names, here = (
        [f"zk{i}" for i in range(1, 5)],
        f"ansible_connection=local ansible_python_interpreter={sys.executable}",
    )
    inventory, met = tmp_path / "four.ini", tmp_path / "met"
    inventory.write_text("[zk]\n" + "".join(f"{name} {here}\n" for name in names))
    met.mkdir()
    everybody = f"touch {met}/$ME; until [ $(ls {met} | wc -l) = {len(names)} ]; do sleep 0.05; done"
    playbook(
        folder,
        "meet",
        f"""
- shell: "{everybody}"
  environment: {{ME: "{{{{ inventory_hostname }}}}"}}
- set_fact: {{zkprov_result: {{me: "{{{{ inventory_hostname }}}}"}}}}
""",
    )
    artifacts = tmp_path / "artifacts"

    def play(name: str) -> Any:
        plays = Plays(str(inventory), playbooks=folder, artifacts=artifacts, timeout_s=60)
        return plays.play("meet", name).facts["me"]

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(play, names)) == names
    kept = sorted(path.name for path in artifacts.iterdir())
    assert [name[:3] for name in kept] == ["001", "002", "003", "004"] and not list(artifacts.glob(".play-*"))


def test_no_play_takes_another_s_workplace_for_one_that_was_left(inventory: Path, tmp_path: Path) -> None:
    def work(number: int) -> None:
        plays = Plays(str(inventory), artifacts=tmp_path / "artifacts")
        for turn in range(40):
            with plays._workplace() as mine:
                (mine / "file").write_text(f"{number} {turn}")
                assert (mine / "file").read_text() == f"{number} {turn}"

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert not list((tmp_path / "artifacts").iterdir())


def test_what_is_kept_of_an_event_has_no_values() -> None:
    told = Told()
    result = {"changed": True, "stdout": CANARY, "invocation": {"module_args": {"content": CANARY}}}
    event = {"event": "runner_on_ok", "event_data": {"host": HOST, "task": "Lays", "res": result, "task_args": CANARY}}
    line = hear(event, told)
    assert line == {"time": "", "host": HOST, "task": "Lays", "outcome": "ok", "changed": True}
    assert hear({"event": "verbose", "stdout": CANARY}, told) is None
    assert message_of({"censored": "the output has been hidden"}) == "it failed, and its output is withheld (no_log)"
    said = {"msg": "non-zero return code", "stderr": "\nls: no such file\n", "stdout": CANARY}
    assert message_of(said) == "non-zero return code: ls: no such file"
    assert message_of({}) == "it failed and says nothing"


def test_our_playbooks_are_playbooks() -> None:
    ours = sorted(shipped("playbooks").glob("*.yml"))
    assert {p.stem for p in ours} == {
        "preflight",
        "install",
        "configure",
        "configure_and_start",
        "start",
        "stop",
        "retire",
        "reboot",
        "backup",
        "release",
    }
    words = [
        Path(sys.executable).with_name("ansible-playbook"),
        "--syntax-check",
        "-i",
        "localhost,",
        "-l",
        "localhost",
        *ours,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
