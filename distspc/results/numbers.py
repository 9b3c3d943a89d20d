"""Numbers as the field prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# ---------------------------------------------------------------------------------------------- numbers as text


def format_r(value: float, digits: int = 2) -> str:
    """Correlation as text: no zero before the point, a real minus."""
    if not np.isfinite(value):
        return "unknown"
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return ("−" if value < 0 and float(f"{value:.{digits}f}") else "") + text


def p_text(p: float, *, n_bootstrap: int | None = None) -> str:
    """P value as text, ``p = .03`` or ``p < .001``; of a bootstrap never below its step."""
    least = max(0.001, 2 / n_bootstrap) if n_bootstrap else 0.001
    if not np.isfinite(p):
        return "p unknown"
    return _glued(f"p < {format_r(least, 3)}" if p < least else f"p = {format_r(p, 3 if p < 0.1 else 2)}")


def p_cell(p: float, *, n_bootstrap: int | None = None) -> str:
    """P value as in a table: ``.03`` or ``< .001``."""
    text = p_text(p, n_bootstrap=n_bootstrap).replace("\N{NO-BREAK SPACE}", " ")
    return text.removeprefix("p ").removeprefix("= ")


def _glued(text: str) -> str:
    """Text that no line break tears apart."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def interval_text(row: Any) -> str:
    """``r = .36, 95 % CI .32 to .40, n = 2,222``, the spaces of each part non-breaking."""
    parts = (
        f"r = {format_r(row.r)}",
        f"{format_r(row.ci_low)} to {format_r(row.ci_high)}",
        f"n = {int(row.n):,}",
        "95 % CI",
    )
    r, interval, n, level = (_glued(part) for part in parts)
    known = np.isfinite(row.ci_low) and np.isfinite(row.ci_high)
    return f"{r}, {level} {interval}, {n}" if known else f"{r}, no {level}, {n}"


def r_with_interval(row: Any) -> str:
    """``r = .36 [.32, .40]``."""
    return f"r = {format_r(row.r)} [{format_r(row.ci_low)}, {format_r(row.ci_high)}]"


def percent(share: float) -> str:
    """Share as a percentage, with a digit where it is small or nearly all; 100 % is all and nothing less."""
    digits = 0 if 0.1 <= abs(share) < 0.99 or share == 1 else 1
    return _glued(f"{min(100 * share, 99.9 if share < 1 else 100):.{digits}f} %".replace("-", "−"))


def format_quantity(value: float) -> str:
    """Positive or negative quantity with four digits, no exponent where it is large: ``11,540``, ``0.02348``."""
    if not np.isfinite(value):
        return ""
    return (f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}").replace("-", "−")


def join_words(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def capitalise(text: str) -> str:
    """Text with its first letter as a capital, the others as they are."""
    return text[:1].upper() + text[1:]
