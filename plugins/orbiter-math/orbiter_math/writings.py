r"""Other writings of a right answer, which a verifier of mathematics must let pass too."""

from __future__ import annotations

from fractions import Fraction

_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def writings_of_number(value: Fraction) -> list[str]:
    """Return a rational number in other writings as plain text: ``12/36`` for 1/3; ``1200.0`` and ``1,200`` for 1200."""
    top, bottom = value.numerator, value.denominator
    written = [f"{12 * top}/{12 * bottom}"]
    if bottom == 1:
        written += [f"{top}.0", f"{top:,}"]
    return written


def writings_of_latex(text: str, value: Fraction | None) -> list[str]:
    """Return an answer in other writings that may be boxed.

    Args:
        text: The answer.
        value: Its value if it is a rational number.
    """
    written = [f" {text}\\, ", f"${text}$", text.translate(_FULL_WIDTH)]
    if value is None:
        return written
    latex = rf"\dfrac{{{12 * value.numerator}}}{{{12 * value.denominator}}}"
    return [*written, latex, *writings_of_number(value)]
