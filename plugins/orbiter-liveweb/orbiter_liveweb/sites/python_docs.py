"""The Python documentation of Debian's python3-doc: a real site, with questions about its indexes, tables and cross references."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orbiter_liveweb.sites.python_index import (
    LetterDifference,
    ModulesOfLetter,
    ModuleSource,
    ModuleSynopsis,
    base_of,
)
from orbiter_liveweb.sites.python_pages import PAGE, NextTopic, NthOfChapter, TableCell
from orbiter_liveweb.topology import Site, Template, Web


class PythonDocs(Site):
    """The Python documentation."""

    name = "python_docs"

    def templates(self) -> Sequence[Template]:
        return [
            ModuleSynopsis(),
            ModuleSource(),
            ModulesOfLetter(),
            LetterDifference(),
            NthOfChapter(),
            NextTopic(),
            TableCell(),
        ]

    def is_in(self, web: Web) -> bool:
        return base_of(web) is not None

    def entity_of(self, url: str) -> str | None:
        match = re.fullmatch(PAGE, url)
        return f"python_docs/page/{match[1]}" if match else None
