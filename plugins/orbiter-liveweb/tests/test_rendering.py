import re
from random import Random

from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.guide import Guide
from orbiter_liveweb.rendering import render
from orbiter_liveweb.session import Session

from orbiter.records import Message, Trajectory


def test_a_hostile_row_is_shown_as_text(evil):
    page = render(evil)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 8
    assert "\u202e" not in page


def test_all_that_a_row_says_is_shown_in_order_and_steps_are_counted():
    def made(call_id):
        return {"id": call_id, "type": "function", "function": {"name": call_id, "arguments": "{}"}}

    row = Trajectory(
        (
            Message("user", "ask"), Message("assistant", "think", tool_calls=(made("one"), made("two"))),
            Message("tool", "1st", tool_call_id="one"), Message("tool", "2nd", tool_call_id="two"),
            Message("tool", "stray", tool_call_id="none"), Message("user", "nudge"),
            Message("assistant", "", tool_calls=(made("three"),)), Message("tool", "3rd", tool_call_id="three"), Message("assistant", "end"),
        ),
        "liveweb", "t", None,
    )  # fmt: skip
    body = render(row).partition("</table>")[2]
    assert re.findall("<h2>(.*?)</h2>|number\">(.)<", body) == [
        ("user", ""), ("assistant", ""), ("", "1"), ("", "2"), ("tool, in answer to no call", ""), ("user", ""), ("", "3"), ("answer", ""),
    ]  # fmt: skip
    places = [body.index(text) for text in ("ask", "think", "1st", "2nd", "stray", "nudge", "3rd", "end")]  # fmt: skip
    assert places == sorted(places)


def test_what_the_next_step_acts_on_is_marked(cache, page):
    cache.put(page("<label>Town <input></label><a href=/>it's: home</a>"))
    guide = Guide(Session(lambda: CacheBrowser(cache)), Random(0))
    guide.do("goto", url="https://a.example/")
    guide.do("type_role", role="textbox", name="Town", text="x")
    guide.do("click_role", role="link", name="it's: home")
    guide.do("click", ref=2)
    page = render(Trajectory((Message("user", "go"), *guide.messages), "liveweb", "t", None))
    marked = re.findall(r'<span class="next">(.*)</span>', page)
    assert [re.sub("<[^>]*>", "", line).strip() for line in marked] == [
        "- textbox &quot;Town&quot; [ref=1]",
        "- &#x27;link &quot;it&#x27;&#x27;s: home&quot; [ref=2]&#x27;:",
        "- &#x27;link &quot;it&#x27;&#x27;s: home&quot; [ref=2]&#x27;:",
    ]
