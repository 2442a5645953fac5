"""The lock, where the ensemble has fallen silent: kazoo itself would wait for as long as that lasts."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.real.conftest import MakeLab
from tests.real.driver import client
from zkprov.model.problems import Busy, Interrupted
from zkprov.run import lock


@pytest.mark.real
def test_taken_and_given_back_in_bounded_time(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    from kazoo.exceptions import OperationTimeoutError

    monkeypatch.setattr(lock, "PATIENCE_S", 1.0)
    lab = make_lab(1)
    (server,) = lab.processes()
    stop, path = threading.Event(), "/lock"
    with client(*lab.founders) as session:
        held = lock.take(session, path, "me", 0.5, stop)
        with client(*lab.founders) as other, pytest.raises(Busy, match="held by me"):
            lock.take(other, path, "you", 0.2, stop)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            lock.give_back(session, held)
            assert time.monotonic() - began < lock.GIVE_BACK_S + 1
            with pytest.raises(OperationTimeoutError):
                lock.take(session, path, "me", 0.1, stop)
            stop.set()
            began = time.monotonic()
            with pytest.raises(Interrupted):
                lock.take(session, path, "me", 60, stop)
            assert time.monotonic() - began < 1
        finally:
            os.kill(server.pid, signal.SIGCONT)
    with client(*lab.founders) as session:
        assert lock.take(session, path, "me", 30, threading.Event()).is_acquired, (
            "it ended with the session that had it"
        )
