"""The timeline of a run as inline SVG: steps, who led, and when clients could not write, on one time axis. Drawn by Matplotlib.

Colours are the page's own (CSS variables), so that light, dark and print are its affair. What the drawing shows stands in the page's
tables too, to the last figure: here thin things are left out where there are more of them than a screen has points.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from zkprov.model.problems import BadInput
from zkprov.report.markdown import plain
from zkprov.report.run_axis import Axis
from zkprov.report.run_document import Ending, Moment, RunReport, StepRow, milliseconds
from zkprov.report.run_reader import at

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSTALL = "pip install 'zkprov[report]', which has the library that draws it; --md and --output json do without"
INK, MUTED, GRID, GOOD, BAD, OPEN, LANE, OTHER, PAUSE, CARD = (f"#0{n}0{n}0{n}" for n in "123456789a")
"""Stand for the page's colours until the drawing is finished."""
NAMES = {
    INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "good", BAD: "bad", OPEN: "open", LANE: "lane", OTHER: "other",
    PAUSE: "pause", CARD: "card",
}  # fmt: skip
COLOURS = {Ending.DONE: GOOD, Ending.FAILED: BAD, Ending.CUT_OFF: BAD, Ending.IN_HAND: OPEN}
WIDTH_IN, ROW_IN, LANE_IN, PAUSES_IN = 10.4, 0.27, 0.3, 0.95
LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN, APART_IN = 2.35, 0.4, 0.3, 0.3, 0.34
MOST_ROWS_IN = 11.0
"""How high the steps may become; of more than that every other one, or fewer, is named."""
MOST_NAMED = 80
"""Of so many steps each bar is an element of its own, with a name."""
MOST_MARKS = 400
THIN = 0.0015
"""Of the axis: what is narrower than this is not seen."""
NAME_LENGTH = 26


def timeline(report: RunReport) -> str:
    """An `<svg>` to be put into a page. Raises `BadInput` where the library is missing."""
    try:
        import logging

        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its caches of fonts, and where they lie
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput("a page cannot be drawn here", place="--html", remedy=INSTALL) from None
    spans = [(at(a.began), at(a.ended)) for a in report.attempts] or [(at(report.began), at(report.ended))]
    axis = Axis(spans)
    rows_in = min(MOST_ROWS_IN, max(1, len(report.steps)) * ROW_IN)
    heights = [rows_in, LANE_IN * 3, PAUSES_IN]
    height = TOP_IN + sum(heights) + 2 * APART_IN + BOTTOM_IN
    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "zkprov", "svg.id": "timeline", "text.parse_math": False, "font.size": 9,
        "axes.unicode_minus": False, "path.simplify": False,
    }  # fmt: skip
    with rc_context(settings):
        figure = Figure(figsize=(WIDTH_IN, height))
        FigureCanvasSVG(figure)
        top = height - TOP_IN
        panels: list[Axes] = []
        for part in heights:
            top -= part
            inner = (WIDTH_IN - LEFT_IN - RIGHT_IN) / WIDTH_IN
            panels.append(figure.add_axes((LEFT_IN / WIDTH_IN, top / height, inner, part / height)))
            top -= APART_IN
        _steps(panels[0], report.steps, axis)
        _lanes(panels[1], report, axis)
        _pauses(panels[2], report, axis)
        for panel in panels:
            _dressed(panel, axis, ticks=panel is panels[-1], gaps=panel is panels[0])
        out = io.StringIO()
        figure.savefig(
            out, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _inline(out.getvalue(), report)


def _dressed(panel: Axes, axis: Axis, *, ticks: bool, gaps: bool) -> None:
    panel.set_xlim(0, axis.length)
    marks = axis.ticks()
    panel.set_xticks([t.place for t in marks], [t.label for t in marks] if ticks else [""] * len(marks))
    panel.tick_params(axis="both", length=0, colors=MUTED, labelsize=8.5)
    panel.grid(axis="x", color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.patch.set_visible(False)
    for side in panel.spines.values():
        side.set_visible(False)
    for gap in axis.gaps:
        panel.axvspan(gap.begin, gap.end, facecolor=LANE, edgecolor=MUTED, linewidth=0.4, linestyle=(0, (2, 3)))
        if gaps:
            middle = (gap.begin + gap.end) / 2
            panel.annotate(
                f"{gap.lasted} later", (middle, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 5),
                textcoords="offset points", ha="center", va="bottom", color=MUTED, fontsize=8,
            )  # fmt: skip


def _titled(panel: Axes, title: str) -> None:
    panel.annotate(
        title, (0.0, 1.0), xycoords="axes fraction", xytext=(-LEFT_IN * 72 + 4, 5), textcoords="offset points",
        ha="left", va="bottom", color=INK, fontsize=9, fontweight="bold",
    )  # fmt: skip


def _steps(panel: Axes, steps: Sequence[StepRow], axis: Axis) -> None:
    _titled(panel, "Steps")
    count = max(1, len(steps))
    least = axis.length * 0.003
    for ending, colour in COLOURS.items():
        style: dict[str, Any] = {
            "facecolor": colour,
            "edgecolor": colour if colour is GOOD else INK,
            "linewidth": 0.4 if colour is GOOD else 0.8,
            "linestyle": (0, (3, 2)) if ending in (Ending.CUT_OFF, Ending.IN_HAND) else "-",
        }
        drawn = {
            f"bar-{t.attempt}-{t.step}": _bar(row, axis.place(at(t.began)), axis.place(at(t.ended)), 0.62, least)
            for row, step in enumerate(steps)
            for t in step.tries
            if t.ending is ending
        }
        if count <= MOST_NAMED:
            for name, box in drawn.items():
                _boxes(panel, [box], name, **style)
        else:
            _boxes(panel, list(drawn.values()), f"bars-{ending}".replace(" ", "-"), **style)
    every = -(-count * ROW_IN // MOST_ROWS_IN)
    named = [(n, s) for n, s in enumerate(steps) if n % int(every) == 0]
    panel.set_yticks([n for n, _ in named], [_named(s) for _, s in named])
    panel.set_ylim(count - 0.5, -0.5)
    for label in panel.get_yticklabels():
        label.set_color(INK)


def _named(step: StepRow) -> str:
    ending = "" if step.ending is Ending.DONE else f": {step.ending}"
    name = plain(step.name)
    return f"{step.number}  {name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + '…'}{ending}"


def _lanes(panel: Axes, report: RunReport, axis: Axis) -> None:
    _titled(panel, "Leader, epoch, config")
    inner_pt = (WIDTH_IN - LEFT_IN - RIGHT_IN) * 72
    shades: dict[str, list[tuple[int, Segment]]] = {LANE: [], OTHER: [], BAD: []}
    unseen: list[tuple[int, float, float]] = []
    for row, tell in enumerate(LANES.values()):
        segments = _segments(report, tell, axis)
        for number, segment in enumerate(segments):
            begin, until, text = segment
            following = segments[number + 1].begin if number + 1 < len(segments) else axis.length
            shades[BAD if text == NOBODY else LANE if number % 2 == 0 else OTHER].append((row, segment))
            # nobody looked: it became another in here
            unseen.append((row, until, following))
            # a character is about 5 points wide
            needs = (len(text) * 5.2 + 8) / inner_pt * axis.length
            if needs < following - begin:
                _text(panel, begin + 4 / inner_pt * axis.length, row, text, "left")
            elif number and needs < begin - segments[number - 1].until:
                _text(panel, begin - 4 / inner_pt * axis.length, row, text, "right", facecolor=CARD)
    _lines(panel, unseen, edgecolor=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
    least = axis.length * 0.003
    for shade, drawn in shades.items():
        boxes = [_bar(row, s.begin, s.until, 0.74, least) for row, s in drawn]
        _boxes(panel, boxes, facecolor=shade, edgecolor=MUTED, linewidth=0.5)
    panel.set_yticks(range(len(LANES)), list(LANES))
    panel.set_ylim(len(LANES) - 0.5, -0.5)


class Box(NamedTuple):
    """In the units of the axes."""

    left: float
    low: float
    right: float
    high: float


def _bar(row: float, begin: float, end: float, height: float, least: float) -> Box:
    """`least`: how wide it is in any case."""
    return Box(begin, row - height / 2, max(end, begin + least), row + height / 2)


def _boxes(panel: Axes, boxes: Sequence[Box], name: str = "", **style: Any) -> None:
    """As one element: of thousands each would take the library a millisecond."""
    _put(
        panel, [((b.left, b.low), (b.right, b.low), (b.right, b.high), (b.left, b.high)) for b in boxes], name, **style
    )


def _lines(panel: Axes, lines: Sequence[tuple[float, float, float]], **style: Any) -> None:
    """Each (height, from, to)."""
    _put(panel, [((begin, at_height), (end, at_height)) for at_height, begin, end in lines], fill=False, **style)


def _put(panel: Axes, shapes: Sequence[tuple[tuple[float, float], ...]], name: str = "", **style: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not shapes:
        return
    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for shape in shapes:
        closed = len(shape) > 2
        points += [*shape, shape[0]] if closed else shape
        codes += [Path.MOVETO, *[Path.LINETO] * (len(shape) - 1), *([Path.CLOSEPOLY] if closed else [])]
    drawn = PathPatch(Path(points, codes), **style)
    if name:
        drawn.set_gid(name)
    panel.add_artist(drawn)


def _text(panel: Axes, place: float, row: float, text: str, side: str, **box: str) -> None:
    patch = {**box, "edgecolor": "none", "pad": 1.0} if box else None
    panel.text(place, row, text, ha=side, va="center", color=INK, fontsize=8.5, bbox=patch)


NOBODY = "nobody"
LANES: dict[str, Callable[[Moment], str]] = {
    "leader": lambda m: NOBODY if m.leader is None else f"server {m.leader}",
    "epoch": lambda m: "not told" if m.epoch is None else str(m.epoch),
    "config version": lambda m: plain(m.config or "not told"),
}


class Segment(NamedTuple):
    """Places on the axis, and what it was between them."""

    begin: float
    until: float
    text: str


def _segments(report: RunReport, tell: Callable[[Moment], str], axis: Axis) -> list[Segment]:
    """What is too narrow to be seen is part of what was before it."""
    found: list[Segment] = []
    moments = report.moments
    for number, moment in enumerate(moments):
        # without looks a value stands until another is known
        last = moments[number + 1].time if number + 1 < len(moments) else report.ended
        begin, until = axis.place(at(moment.time)), axis.place(at(moment.until if report.moments_told else last))
        text, before = tell(moment), found[-1] if found else None
        if before is not None and (before.text == text or begin - before.begin < THIN * axis.length):
            found[-1] = Segment(before.begin, until, text)
        else:
            found.append(Segment(begin, until, text))
    return found


def _pauses(panel: Axes, report: RunReport, axis: Axis) -> None:
    _titled(panel, "Write pauses, as a client of the run saw them")
    longest = sorted(report.pauses, key=lambda p: -p.lasted_s)[:MOST_MARKS]
    high = max((p.lasted_s for p in longest), default=0.0) * 1000
    told = {p.step for p in report.pauses}
    untold = [
        (t.pause_s * 1000, axis.place(at(t.began)), axis.place(at(t.ended)))
        for s in report.steps
        for t in s.tries
        if t.pause_s is not None and t.step not in told
    ]
    # the moment is not known, only the step
    _lines(panel, untold, edgecolor=PAUSE, linewidth=1.2, linestyle=(0, (3, 2)))
    high = max([high, *(ms for ms, _, _ in untold)])
    high = max(high * 1.25, 1.0)
    if longest:
        least = axis.length * 0.002
        begins = [(p, axis.place(at(p.began))) for p in longest]
        boxes = [
            Box(begin, 0.0, max(axis.place(at(p.began) + p.lasted_s), begin + least), p.lasted_s * 1000)
            for p, begin in begins
        ]
        _boxes(panel, boxes, "pauses", facecolor=PAUSE, edgecolor="none")
        worst = longest[0]
        place = axis.place(at(worst.began))
        right = place > axis.length * 0.8
        panel.annotate(
            milliseconds(worst.lasted_s), (place if right else boxes[0].right, worst.lasted_s * 1000),
            xytext=(-4 if right else 4, -1), textcoords="offset points", ha="right" if right else "left", va="top",
            color=INK, fontsize=8.5, fontweight="bold",
        )  # fmt: skip
    panel.axhline(0, color=MUTED, linewidth=0.8)
    panel.set_ylim(0, high)
    half = _round(high / 2)
    panel.set_yticks([0, half, 2 * half] if 2 * half <= high else [0, half])
    panel.set_yticklabels([f"{ms / 1000:g} s" if high >= 2000 else f"{ms:g} ms" for ms in panel.get_yticks()])
    if not longest and not untold:
        panel.set_yticks([])
        panel.text(axis.length / 2, high / 2, "none was measured", ha="center", va="center", color=MUTED, fontsize=8.5)


def _round(value: float) -> float:
    """One leading digit, downwards: 1, 2 or 5 times a power of ten."""
    power = 1.0
    while value >= power * 10:
        power *= 10
    while value < power:
        power /= 10
    return next(n for n in (5, 2, 1) if value >= n * power) * power


def described(report: RunReport) -> str:
    """What the drawing shows, in a few sentences, for who hears it."""
    parts = [f"{report.done} of {len(report.steps)} steps are done, over {report.took_s:.1f} seconds."]
    leaders = [m for n, m in enumerate(report.moments) if n == 0 or m.leader != report.moments[n - 1].leader]
    if leaders:
        parts.append(
            "Leader: " + ", then ".join("none" if m.leader is None else str(m.leader) for m in leaders[:12]) + "."
        )
    if report.pause_s is not None:
        parts.append(f"The longest write pause is {milliseconds(report.pause_s)}.")
    return " ".join([*parts, "The tables below have every figure."])


def _inline(svg: str, report: RunReport) -> str:
    """As part of a page: the page's colours and letters, no rules of its own, a name and a description."""
    size = re.search(r'viewBox="([\d. ]+)"', svg)
    body = svg[svg.index("<svg") :].partition(">")[2]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: _dyed(tag[0]), body)
    return (
        f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{size[1] if size else "0 0 750 400"}" role="img" aria-labelledby="timeline-title" '
        f'aria-describedby="timeline-desc">'
        f'<title id="timeline-title">Timeline of run {escape(plain(report.run))}</title>'
        f'<desc id="timeline-desc">{escape(described(report))}</desc>{body}'
    )


def _dyed(tag: str) -> str:
    """A tag with the page's colours in the place of those that stand for them, and with the page's letters."""
    tag = re.sub(r"#0([1-9a])0(?:\1)0(?:\1)", lambda found: f"var(--{NAMES[found[0]]})", tag)
    return re.sub(r"font-family: [^;\"]*;? ?", "", tag)
