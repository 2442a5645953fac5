"""Types that several threads decode for the first time at once. In a process of its own: what goes wrong ends the process.

(With `msgspec.convert` in place of `decoded` it ended by a segmentation fault in eight of eight runs, msgspec 0.22.0 on Python 3.11.)
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = '''
import sys, threading, types
from zkprov.observe.decoding import decoded
sys.setswitchinterval(1e-6)
source = """
from __future__ import annotations
import msgspec
class A(msgspec.Struct, frozen=True):
    a: tuple[int, ...] | None = None
    b: dict[str, tuple[int, str]] | None = None
class B(msgspec.Struct, frozen=True):
    x: A
    y: dict[str, A]
    z: tuple[A, ...] = ()
class C(msgspec.Struct, frozen=True):
    p: B
    q: A | None = None
"""
done = []
for number in range(200):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec(source, module.__dict__)
    gate = threading.Barrier(6)
    def work():
        gate.wait()
        done.append(decoded({"p": {"x": {}, "y": {"k": {"a": [1]}}}}, module.C))
    threads = [threading.Thread(target=work) for _ in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
assert len(done) == 1200 and {x.p.y["k"].a for x in done} == {(1,)}
'''


def test_first_uses_by_threads_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done
