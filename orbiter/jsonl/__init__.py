"""JSONL, read strictly and written durably.

One line is one JSON object. What JSON parsers let pass in silence is an error here that names file, line and field:
a byte order mark, bytes that are not UTF-8, NaN, a key given twice, an integer that would lose digits, a blank line
anywhere.

:func:`read` gives typed records, :func:`read_objects` decoded objects, and :func:`scan` only the few fields that a
filter needs beside the line as it is, several times as fast. :func:`write` puts a whole file in place or none.
"""

from orbiter.jsonl.faults import MAX_DEPTH
from orbiter.jsonl.reading import MAX_LINE_BYTES, loads, read, read_objects
from orbiter.jsonl.scanning import Head, scan
from orbiter.jsonl.writing import dumps, replace_file, write

__all__ = [
    "MAX_DEPTH",
    "MAX_LINE_BYTES",
    "Head",
    "dumps",
    "loads",
    "read",
    "read_objects",
    "replace_file",
    "scan",
    "write",
]
