"""One ensemble of four whose leader is on its way out: instants at which something breaks, and what must hold afterwards."""

from __future__ import annotations

import random
import re
from pathlib import Path

from tests.faults.scene import QUICK, Instant, Scene, admin, instants
from tests.real.driver import Done, Running, Zkprov, live_config, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost

# every event of a removal, in order, each of them next to a different act, write or wait
LEAVING = (
    Instant(0, ""),
    *instants(
        """0 run.begun
1 step.begun
1 gates
1 act
1 backup
1 step.done
2 step.begun
2 sample
2 gates
2 act
2 answer
2 gates 2
2 gates 3
2 step.done
3 step.begun
3 sample
3 gates
3 act
3 answer
3 gates 2
3 gates 3
3 step.done
4 step.begun
4 gates
4 act
4 step.done
5 step.begun
5 gates
5 settling
5 step.done"""
    ),
)


class Departure(Scene):
    """As a `Scene`, whose `new` is the one that leaves: the leader of the first moment."""

    def __init__(self, lab: Lab, folder: Path, rng: random.Random) -> None:
        super().__init__(lab, folder, rng)
        self.new = lab.host(self.leader())
        # it says for a moment that it leads still, when another does
        self.woken.add(self.new.name)

    @property
    def rest(self) -> list[InventoryHost]:
        return [h for h in self.lab.founders if h.id != self.new.id]

    def remove(self, *more: str) -> Running:
        command = ("remove-node", self.new.name, *QUICK, "--drain", "0", *more, "--events", str(self.events))
        running = self.zkprov.start(*command)
        self._running.append(running)
        return running

    def line(self) -> str:
        """Of the one that leaves, as the rest has it; empty when it is out."""
        found = re.search(rf"^server\.{self.new.id}=.*$", live_config(*self.rest), re.MULTILINE)
        return found[0] if found else ""

    def planned(self) -> None:
        """It is out of every list, runs no more and is not to be started, its folders are aside, and it is remembered."""
        self._same_list(self.rest)
        assert not self.line()
        assert not LocalHost(self.new).processes()
        here = [f for f in (self.new.config_dir, self.new.data_dir, self.new.data_log_dir) if Path(f).exists()]
        assert not here, here
        assert len(self.set_aside()) == 3, self.set_aside()
        entry = self.ledger(f"retired/{self.new.id}")
        assert entry["fate"] == "set aside" and Path(entry["where"]).is_dir()
        assert self.ledger(f"members/{self.new.id}") is None
        assert (Path(f"{self.new.config_dir}.zkprov") / "disabled").exists()
        assert not self._fence()
        self.healthy()

    def former(self, *, untouched: bool = True) -> None:
        """It is a voter as before, and its folders are where they were."""
        self._same_list(list(self.lab.founders))
        assert ":participant;" in self.line() and admin(self.new, "zabstate")["voting"]
        assert untouched and not self.set_aside()
        assert self.ledger(f"retired/{self.new.id}") is None
        assert not self._fence()
        self.healthy()

    def given_up(self) -> None:
        """It is out of the list, and its disk where it was: remembered as a debt, and named."""
        self._same_list(self.rest)
        assert self.ledger(f"retired/{self.new.id}")["fate"] == "left behind"
        self.zkprov("status").expect(0, f"zkprov retired attest {self.new.id}")
        self.healthy()

    def set_aside(self) -> list[Path]:
        return list(Path(self.new.config_dir).parent.glob("*.retired-*"))

    def resumed(self, machine: Zkprov | None = None) -> Done:
        """`resume` ends in the planned state, or says that nothing was begun, and then nothing was."""
        machine = machine or self.zkprov
        done = machine("resume", "--events", str(self.folder / "resumed.jsonl")).expect(0)
        if "nothing to resume" in done.said and self.line():
            self.former()
        else:
            self.planned()
        return done

    def elected(self) -> None:
        wait_for(self.leader, what="a leader")
