"""What a command did as a JUnit file, which every CI system reads: one case for each step or gate."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from zkprov.report.account import Account, Case, Outcome, Suite

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however it is escaped; servers and disks may say it all the same."""


def junit(account: Account, *, at: str) -> bytes:
    """The whole document in UTF-8. `at`: when the command began, RFC 3339."""
    root = ET.Element("testsuites", name=_text(account.command))
    suites = account.suites
    for number, suite in enumerate(suites):
        root.append(_suite(account, suite, at, took_s=account.took_s if number == 0 else 0.0))
    _count(root, [c for s in suites for c in s.cases], account.took_s)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite(account: Account, suite: Suite, at: str, *, took_s: float) -> ET.Element:
    of_steps = sum(c.took_s for c in suite.cases)
    found = ET.Element("testsuite", name=_text(suite.name), timestamp=at.removesuffix("Z"))
    _count(found, suite.cases, of_steps or took_s)
    properties = {
        "ensemble": account.ensemble,
        "run": suite.run,
        "exit_code": str(account.code),
        "result": account.headline,
        "stands": account.result.stands if account.result else "",
    }
    held = ET.SubElement(found, "properties")
    for name, value in properties.items():
        if value:
            ET.SubElement(held, "property", name=name, value=_text(value))
    for case in suite.cases:
        found.append(_case(account, case))
    if suite.lines:
        ET.SubElement(found, "system-out").text = _text("\n".join(suite.lines))
    return found


def _case(account: Account, case: Case) -> ET.Element:
    group = f"zkprov.{account.ensemble}" if account.ensemble else "zkprov"
    found = ET.Element("testcase", classname=_text(group), name=_text(case.name), time=f"{case.took_s:.3f}")
    if case.outcome is Outcome.SKIPPED:
        ET.SubElement(found, "skipped", message=_text(case.said))
    elif case.failure is not None:
        headline = _text(case.failure.headline)
        failure = ET.SubElement(found, "failure", type=_text(case.failure.kind), message=headline)
        failure.text = "\n".join((headline, *(_text(line) for line in case.failure.lines)))
    elif case.said:
        paused = f"; longest pause {case.pause_s * 1000:.0f} ms" if case.pause_s else ""
        ET.SubElement(found, "system-out").text = _text(case.said + paused)
    return found


def _count(element: ET.Element, cases: tuple[Case, ...] | list[Case], took_s: float) -> None:
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(c.outcome is Outcome.FAILED for c in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(c.outcome is Outcome.SKIPPED for c in cases)))
    element.set("time", f"{took_s:.3f}")


def _text(text: str) -> str:
    return FORBIDDEN.sub("?", text)
