import pytest
from orbiter_liveweb.placeholders import placeholder_kind

LONG = "<p>" + "A page that says what it is about, at length. " * 60


@pytest.mark.parametrize(
    ("kind", "html"),
    [
        ("cloudflare challenge", "<title>Just a moment...</title><h1>shop.example</h1><p>Please wait."),
        ("cloudflare challenge", "<p>Wait</p><script src='https://challenges.cloudflare.com/turnstile/v0/api.js'></script>"),
        ("captcha", "<p>One more step</p><iframe src='https://www.google.com/recaptcha/api2/anchor'></iframe>"),
        ("captcha", "<h1>Please verify you are human</h1>"),
        ("captcha", "<p>Our systems have detected unusual traffic from your network."),
        ("access denied", "<title>403 Forbidden</title><h1>nginx</h1>"),
        ("needs javascript", "<p>You need to enable JavaScript to run this app."),
        ("not found", "<h1>404 Not Found</h1>"),
        ("unavailable", "<h1>503 Service Unavailable</h1>"),
        ("empty page", "<body><div id=root></div><script>app()</script>"),
    ],
)  # fmt: skip
def test_a_placeholder_is_named(kind, html):
    assert placeholder_kind(html) == kind


@pytest.mark.parametrize(
    "html",
    [
        "<h1>Kettles</h1><p>Brass, 12.50",
        f"<title>What is a CAPTCHA?</title>{LONG}",
        f"<h1>Just a moment in history</h1>{LONG}",
        f"<form><input name=user></form><script src='https://hcaptcha.com/1/api.js'></script>{LONG}",
        "<img src=map.png alt=map>",
    ],
)
def test_a_page_is_none(html):
    assert placeholder_kind(html) is None


def test_no_page_of_the_synthetic_web_is_one(web):
    assert {placeholder_kind(web.get(url).html) for url in web.urls()[::7]} == {None}


def test_a_failure_of_the_server_is_one():
    assert placeholder_kind("<p>fine", status=429) == "status 429"
