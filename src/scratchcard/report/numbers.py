"""How numbers look on the page: percent, points, errors and counts.

Readings are fractions everywhere else; only here they turn into percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from scratchcard.contracts import MetricSpec
from scratchcard.verdict import Comparison

MINUS = "\u2212"
LARGE = 10_000
"""From here on a number is printed with a prefix."""
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(fraction: float) -> str:
    """A fraction as percent, with two decimals where one would round up to 100.

    >>> percent(0.987), percent(0.59), percent(0.9953)
    ('98.7 %', '59 %', '99.53 %')
    """
    digits = 2 if 0.995 <= fraction < 1 else 1
    text = f"{100 * fraction:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')} %".replace("-", MINUS)


def value(spec: MetricSpec, number: float, error: float | None = None) -> str:
    """A reading in the unit of its column (percent without the sign), to the digits of its error.

    Three digits where no error is given. Large numbers have the prefix of the SI: ``81.5 M``.
    """
    factor, prefix = 100.0 if spec.unit == "fraction" else 1.0, ""
    if math.isfinite(number) and abs(number) >= LARGE:
        size, letter = _prefix(number)
        factor, prefix = factor / size, f" {letter}"
    if error is None:
        return _significant(factor * number) + prefix
    return _with_error(factor * number, factor * error) + prefix


def ends(spec: MetricSpec, first: float, last: float) -> tuple[str, str]:
    """The ends of a range in the unit of a column, to two digits of what is between them."""
    most = max(abs(first), abs(last))
    size, letter = _prefix(most) if most >= LARGE else (1.0, "")
    factor = 100.0 if spec.unit == "fraction" else 1 / size
    wide = factor * (abs(last - first) or most or 1.0)
    digits = min(6, max(0, 1 - math.floor(math.log10(wide))))
    # Adding 0 turns a rounded -0.0 into 0.0.
    texts = [f"{round(factor * end, digits) + 0.0:,.{digits}f}" for end in (first, last)]
    one, other = (f"{text} {letter}".rstrip().replace("-", MINUS) for text in texts)
    return one, other


def between(low: float, high: float) -> str:
    """An interval of sparsities; infinite is beyond the ladder, 0 is none.

    >>> between(0.471, 0.679), between(0.922, math.inf), between(0, 0.59)
    ('47.1 to 67.9 %', '92.2 % to beyond', 'none to 59 %')
    """
    said = ["beyond" if math.isinf(e) else percent(e) if e else "none" for e in (low, high)]
    if math.isfinite(high):
        said[0] = said[0].removesuffix(" %")
    return " to ".join(said)


def tick(number: float) -> str:
    """A number on an axis, with a prefix from 1,000 on, and a power of ten below 0.0001.

    >>> tick(0.05), tick(1_000), tick(2_500_000), tick(2e-6)
    ('0.05', '1 k', '2.5 M', '2e\u22126')
    """
    if 0 < abs(number) < 1e-4:
        digits, _, power = f"{number:g}".partition("e")
        return f"{digits}e{int(power)}".replace("-", MINUS)
    size, letter = _prefix(number)
    return f"{number / size:g} {letter}".rstrip().replace("-", MINUS)


def _prefix(number: float) -> tuple[float, str]:
    """The largest prefix that leaves at least 1 (0.9995, which prints as 1.00) of ``number``."""
    return next((p for p in PREFIXES if abs(number) >= 0.9995 * p[0]), (1.0, ""))


def change(spec: MetricSpec, c: Comparison) -> str:
    """Sparse minus dense as measured (not oriented) with its standard error: ``−2.3 ± 0.4 points``.

    A metric that is compared by ratios gives the relative change in percent.
    """
    raw = c.d if spec.better == "higher" else -c.d
    if spec.scale == "log":
        ratio = math.exp(raw)
        error = 100 * ratio * c.stderr
        # Of a network that collapsed: -99.999991 ± 0.000008 % says no more than -100 %.
        return f"{_with_error(100 * (ratio - 1), error if error > 1e-3 else 0.0, sign=True)} %"
    if spec.unit == "fraction":
        return f"{_with_error(100 * raw, 100 * c.stderr, sign=True)} points"
    return _with_error(raw, c.stderr, sign=True)


def moved(spec: MetricSpec, c: Comparison) -> str:
    """The same change in words: ``2.3 points lower``, ``8.2 % higher``, ``2.4 times as high``."""
    raw = c.d if spec.better == "higher" else -c.d
    if spec.scale == "log" and abs(raw) > math.log(2):
        return f"{_significant(math.exp(raw))} times as high"
    if spec.scale == "log":
        size, unit = abs(100 * math.expm1(raw)), " %"
    elif spec.unit == "fraction":
        size, unit = abs(100 * raw), " points"
    else:
        size, unit = abs(raw), ""
    if size < 1e-9:
        return "the same"
    text = f"{float(f'{size:.2g}'):g}"
    unit = " point" if (text, unit) == ("1", " points") else unit
    return f"{text}{unit} {'higher' if raw > 0 else 'lower'}"


def margin(spec: MetricSpec, number: float) -> str:
    """A margin in the metric's scale: ``1 point``, ``factor 1.05`` or a plain number."""
    if spec.scale == "log":
        return f"factor {math.exp(number):.3g}"
    if spec.unit == "fraction":
        return f"{100 * number:.3g} point{'' if math.isclose(number, 0.01) else 's'}"
    return f"{number:.3g}"


def signed(number: float) -> str:
    """One decimal and always a sign.

    >>> signed(1.24), signed(0.0), signed(-0.01)
    ('+1.2', '0.0', '0.0')
    """
    text = f"{number:+.1f}".replace("-", MINUS)
    return "0.0" if text[1:] == "0.0" else text


def two(number: float) -> str:
    """Two decimals.

    >>> two(0.934), two(-0.4), two(-0.001)
    ('0.93', '\u22120.40', '0.00')
    """
    return f"{MINUS if number <= -0.005 else ''}{abs(number):.2f}"


def count(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``, ``1,250 networks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def amount(number: float) -> str:
    """A cost, to three digits.

    >>> amount(28_740), amount(1.234e12), amount(0), amount(5.75)
    ('28.7 k', '1.23 T', '0', '5.75')
    """
    size, letter = _prefix(number)
    return f"{_significant(number / size)} {letter}".rstrip()


def sparse(sparsity: float) -> str:
    """A network's own sparsity: ``59 %``, or ``dense`` where nothing is cut."""
    return percent(sparsity) if sparsity else "dense"


def few(items: Sequence[str], most: int) -> str:
    """``listing`` of the first ``most`` items and how many more there are; one more is named too.

    >>> few(["a", "b", "c", "d"], 2), few(["a", "b", "c"], 2)
    ('a, b and 2 more', 'a, b and c')
    """
    rest = len(items) - most
    return listing([*items[:most], f"{rest} more"] if rest > 1 else items)


def listing(items: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last


def _significant(number: float) -> str:
    if not math.isfinite(number):
        return "not finite"
    small = 0 < abs(number) < 1e-4
    text = f"{number:.3g}" if small or abs(number) < 1_000 else f"{number:,.0f}"
    return text.replace("-", MINUS)


def _with_error(number: float, error: float, *, sign: bool = False) -> str:
    """``number ± error``, the error to one digit, or two where it begins with 1."""
    if not math.isfinite(error):
        return f"{_significant(number)} ± unknown"
    if error == 0:
        text = _significant(number)
        return f"+{text}" if sign and number > 0 else text
    exponent = math.floor(math.log10(error))
    leading_one = error / 10**exponent < 1.95
    digits = max(0, -exponent + leading_one)
    if digits > 6:
        return f"{number:.3g} ± {error:.1g}".replace("-", MINUS)
    text = f"{number:{'+' if sign else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = f"{0:.{digits}f}"
    return f"{text} ± {error:,.{digits}f}".replace("-", MINUS)
