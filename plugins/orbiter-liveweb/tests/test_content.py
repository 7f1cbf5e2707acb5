import pytest
from orbiter_liveweb.content import decode


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("é".encode(), None, "é"),
        ("é€".encode("cp1252"), "iso-8859-1", "é€"),
        (b'<meta charset="windows-1252">\xe9', None, '<meta charset="windows-1252">é'),
        ("\ufeffé".encode("utf-16-le"), "utf-8", "é"),
        (b"\xe9", "utf-8", "\ufffd"),
        (b"x", "no-such-charset", "x"),
        (b"\\u0041", "unicode_escape", "\\u0041"),
        (b"eJx", "zlib", "eJx"),
    ],
)
def test_pages_are_decoded_as_in_a_browser(data, charset, text):
    assert decode(data, charset) == text
