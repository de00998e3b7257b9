"""Names from users, made safe for LaTeX and for Markdown tables; numbers for LaTeX."""

from __future__ import annotations

import re

from scratchcard.report.numbers import MINUS

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{NO-BREAK SPACE}": "~",
    MINUS: "$-$",
    "±": r"$\pm$",
    "²": "$^2$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "—": "---",
    "·": r"$\cdot$",
    "†": r"$\dagger$",
}


def latex(text: str) -> str:
    r"""Text that LaTeX prints as it is, on one line.

    >>> print(latex("50 % of lth_2 & {R²}"))
    50 \% of lth\_2 \& \{R$^2$\}
    """
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split(" ")).replace("\n", " "))


def latex_number(text: str) -> str:
    r"""A printed number with its error as mathematics; other text as text.

    >>> print(latex_number("−1,234.5 ± 0.4"))
    $-1{,}234.5 \pm 0.4$
    """
    if not re.match(rf"[{MINUS}+]?\d", text):
        return latex(text)
    number, _, unit = text.partition(" ") if "±" not in text else (text, "", "")
    found = re.fullmatch(r"(.*? ± \S+)(?: (.*))?", number)
    if found is not None:
        number, unit = found[1], found[2] or ""
    body = number.replace(MINUS, "-").replace(",", "{,}")
    body = body.replace("± unknown", r"\pm\,?").replace("±", r"\pm")
    return f"${body}$" + (f"\\,{latex(unit)}" if unit else "")


def markdown(text: str) -> str:
    r"""Text that Markdown prints as it is, on one line, in a table too.

    >>> print(markdown("a|b *c* <d>"))
    a\|b \*c\* \<d\>
    """
    return re.sub(r"([\\`*_{}\[\]<>#|~$&!])", r"\\\1", text.replace("\n", " "))
