"""HTML of the synthetic web, each text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote_plus

PAGE_SIZE = 10
"""Entries of a list that stand on one page."""


def page(title: str, site: str, body: str, *, head: str = "") -> str:
    """Return a page: the site's header, the body, a footer."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{head}<title>{escape(title)} - {escape(site)}</title></head>\n'
        f'<body><header><p><a href="/">{escape(site)}</a></p></header>\n<main><h1>{escape(title)}</h1>\n{body}\n</main>\n'
        f"<footer><p>{escape(site)}, a made-up site.</p></footer></body></html>\n"
    )


def link(href: str, text: str) -> str:
    """Return a link."""
    return f'<a href="{escape(href)}">{escape(text)}</a>'


def search_form(action: str, field: str, label: str, button: str) -> str:
    """Return a form with one field."""
    return (
        f'<form role="search" action="{escape(action)}" method="get"><label for="{field}">{escape(label)}</label> '
        f'<input type="text" id="{field}" name="{field}"> <button type="submit">{escape(button)}</button></form>'
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values; the values are HTML."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{value}</td></tr>' for name, value in pairs
    )
    return f"<table><tbody>{rows}</tbody></table>"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a header; the cells are HTML."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table>"


def listing(entries: Sequence[str], *, path: str, number: int) -> str:
    """Return one page of a list, with links to the pages before and after it; the entries are HTML.

    Args:
        entries: The whole list.
        path: Address of its first page.
        number: Which page, from 1.
    """
    pages = page_count(entries)
    start = (number - 1) * PAGE_SIZE
    shown = "\n".join(f"<li>{entry}</li>" for entry in entries[start : start + PAGE_SIZE])
    steps = []
    if number > 1:
        steps.append(link(page_path(path, number - 1), "Previous page"))
    if number < pages:
        steps.append(link(page_path(path, number + 1), "Next page"))
    nav = f'<nav aria-label="Pages"><p>Page {number} of {pages} {" ".join(steps)}</p></nav>'
    return f'<ol start="{start + 1}">\n{shown}\n</ol>\n{nav}'


def page_count(entries: Sequence[str]) -> int:
    """Return how many pages a list fills."""
    return max(1, -(-len(entries) // PAGE_SIZE))


def page_path(path: str, number: int) -> str:
    """Return the address of a page of a list."""
    return path if number == 1 else f"{path}?page={number}"


def query_path(path: str, field: str, text: str) -> str:
    """Return where a form with one field leads."""
    return f"{path}?{field}={quote_plus(text)}"


def money(cents: int) -> str:
    """Return a price."""
    return f"{cents // 100}.{cents % 100:02}"
