"""Numbers and sentences as the page writes them."""

from __future__ import annotations

from spl_tf.analysis.report.comparison import (
    Comparison,
    Difference,
    Estimate,
    Line,
)
from spl_tf.analysis.report.content import ReportContent
from spl_tf.analysis.report.looks import NONE, look

_UNKNOWN = "\u2013"  # a dash


def percent(value: float | None, digits: int = 1) -> str:
    """A share, "81.1 %" with a narrow space."""
    return _UNKNOWN if value is None else f"{100 * value:.{digits}f}\u202f%"


def points(value: Estimate | None) -> str:
    """An accuracy in percent without the sign: "81.1 ± 2.2", "81.1" or a dash."""
    if value is None:
        return _UNKNOWN
    error = "" if value.error is None else f"\u00a0±\u00a0{100 * value.error:.1f}"
    return f"{100 * value.mean:.1f}{error}"


def behind(difference: Difference | None) -> str:
    """A difference in points with its sign: "+9.1 ± 1.9"."""
    if difference is None:
        return _UNKNOWN
    found = difference.estimate
    sign = "+" if found.mean >= 0 else "\u2212"
    error = "" if found.error is None else f"\u00a0±\u00a0{100 * found.error:.1f}"
    return f"{sign}{abs(100 * found.mean):.1f}{error}"


def count(value: float | None) -> str:
    """A number of things, with commas."""
    return _UNKNOWN if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time a reader can grasp: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f}\u202fs"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\u202fs"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}\u202fmin" + (f" {rest}\u202fs" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}\u202fh" + (f" {minutes}\u202fmin" if minutes else "")


def size(num_bytes: float) -> str:
    """Bytes in a unit that fits."""
    units = ["bytes", "kB", "MB", "GB"]
    unit = units.pop(0)
    while num_bytes >= 1000 and units:
        num_bytes /= 1000
        unit = units.pop(0)
    digits = 0 if unit == "bytes" or num_bytes >= 100 else 1
    return f"{num_bytes:,.{digits}f}\u202f{unit}"


def lede(content: ReportContent, comparison: Comparison) -> list[str]:
    """The experiment in two or three sentences with its key numbers."""
    sentences = []
    web = content.web
    if web is not None and web.confusion.total:
        sentences.append(
            f"Searches for {web.confusion.num_classes:,} classes found "
            f"{web.confusion.total:,} web clips, and on "
            f"{percent(web.confusion.noise_ratio, 0)} of them a teacher that learned "
            "from a few clean clips sees something else than the query said."
        )
    main = comparison.line(comparison.main)
    if main is not None:
        sentences.append(_main_sentence(comparison, main))
    # A line must not end within "SPL-B".
    return [sentence.replace("SPL-", "SPL\u2011") for sentence in sentences]


def _main_sentence(comparison: Comparison, main: Line) -> str:
    title = look(main.strategy).title
    others = []
    for strategy, phrase in (
        ("agreement", "with agreement only"),
        ("weak", "with the query as the label"),
        (NONE, "without web clips"),
    ):
        line = comparison.line(strategy)
        if line is not None and strategy != main.strategy:
            others.append(f"{points(line.values['top_1'])} {phrase}")
    if main.strategy == NONE:
        start = f"Without web clips a model reaches {points(main.values['top_1'])}"
    else:
        start = (
            f"A model that was first trained on their {title} labels classifies "
            f"{points(main.values['top_1'])}"
        )
    sentence = f"{start}\u202f% of the validation clips correctly"
    return f"{sentence}; {_listed(others)}." if others else f"{sentence}."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def certainty(comparison: Comparison) -> str:
    """What the numbers can and cannot say."""
    seeds = comparison.seeds
    if not seeds:
        return "No model has been evaluated yet."
    if len(seeds) == 1:
        return (
            f"One run of each (seed {seeds[0]}): there is no estimate of the error, "
            "and a difference of a few points may be chance."
        )
    return (
        f"Means over {len(seeds)} seeds ± standard error; differences are paired seed "
        "by seed."
    )
