import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.session import ACTIONS, Session, call, tool_schemas

from orbiter.tasks.toolbox import tools_of

HOME = "https://a.example/"


@pytest.fixture
def session(forms):
    made = Session(lambda: CacheBrowser(forms))
    assert made.goto(HOME).startswith("URL: https://a.example/\nTitle: Home\n\n- link")
    return made


def title(shown):
    return shown.split("\n")[1].removeprefix("Title: ")


def test_a_form_is_sent_as_a_browser_sends_it(session):
    assert 'textbox "Word" [ref=7]: x y' in session.type(7, "x y")
    assert title(session.press("Enter")) == "Found"
    session.goto(HOME)
    session.type_role("textbox", "Word", "x")
    assert title(session.click_role("button", "Find")) == "Found less"


def test_backspace_takes_the_last_character(session):
    session.type(7, "x yz")
    assert 'textbox "Word" [ref=7]: x y\n' in session.press("Backspace")
    assert title(session.press("Enter")) == "Found"


def test_what_is_typed_again_takes_the_place_of_what_was(session):
    session.type(7, "old")
    assert "[ref=7]: new" in session.type(7, "new")


def test_a_fragment_moves_the_window(session):
    shown = session.click(1)
    assert title(shown) == "Long"
    assert shown.split("\n")[2:] == [
        "Lines 101-102 of 102",
        "",
        '- heading "there" [level=2]',
        "- paragraph: end",
    ]
    assert session.scroll("up").split("\n")[2] == "Lines 71-102 of 102"


def test_the_window_is_moved(session):
    assert session.goto(f"{HOME}long").split("\n")[2] == "Lines 1-60 of 102"
    assert session.scroll("down").split("\n")[2] == "Lines 31-90 of 102"
    assert session.view_more().split("\n")[2] == "Lines 91-102 of 102"
    assert session.view_more().split("\n")[2] == "Lines 102-102 of 102"
    for _ in range(5):
        session.scroll("up")
    assert session.scroll("up").split("\n")[2] == "Lines 1-60 of 102"


def test_a_page_that_refreshes_itself_waits_for_the_model_to_wait(session):
    session.goto(f"{HOME}slow")
    assert title(session.wait(4.9)) == "Slow"
    assert title(session.wait(5)) == "Done"


def test_a_new_line_leaves_the_window_where_it_was(cache, page):
    cache.put(page("<p>x</p>" * 90 + "<form><textarea aria-label=Area></textarea></form>"))
    session = Session(lambda: CacheBrowser(cache))
    session.goto(HOME)
    session.view_more()
    shown = session.type_role("textbox", "Area", "a")
    assert session.press("Enter").split("\n")[2] == shown.split("\n")[2] == "Lines 61-91 of 91"


def test_a_redirect_is_followed(session):
    assert session.click_role("link", "Moved").startswith("URL: https://a.example/done")
    assert list(session.visited) == [HOME, f"{HOME}done"]


def test_boxes_are_turned_on_and_options_chosen_as_in_a_browser(forms, choosing):
    session = Session(lambda: CacheBrowser(forms))
    shown = [call(session, *one) for one in choosing]
    assert 'radio "Small" [ref=4]' in shown[0]
    assert 'radio "Medium" [checked] [ref=5]' in shown[0]
    assert title(shown[1]) == "As it was"
    assert 'checkbox "New" [checked] [ref=1]' in shown[3]
    old = [f'checkbox "Old" {state}[ref=2]' for state in ("", "[checked] ", "")]
    assert all(one in said for one, said in zip(old, shown[4:7]))
    # What turns a box leaves the window where it was.
    assert shown[8].split("\n")[2] == shown[7].split("\n")[2] != shown[6].split("\n")[2]
    assert [said.removeprefix("Error: ") for said in shown[16:22]] == [
        "there is no option 'By colour'; there are 'By price', 'By age', 'By fame', 'By name'",
        "option 'By age' is disabled",
        "option 'By fame' is disabled",
        "nothing can be typed into combobox 'Script'",
        "the checkbox is disabled",
        "nothing happens when checkbox 'Script' is pressed",
    ]
    assert title(shown[-1]) == "As it was chosen"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("goto", {"url": "https://b.example/"}, "the cache has no page https://b.example/"),
        ("goto", {"url": "file:///etc/passwd"}, "address must begin with http:// or https://"),
        ("goto", {"url": 3}, "url must be a text"),
        ("click", {"ref": 0}, "ref must be the number of an element of this page, 1 to 16"),
        ("click", {"ref": "1"}, "ref must be the number"),
        ("click", {"ref": True}, "ref must be the number"),
        ("click", {"ref": 7}, "a textbox cannot be clicked"),
        ("click", {"ref": 3}, "link 'Mail' leads to no web page"),
        ("click", {"ref": 4}, "the cache has no page https://a.example/gone"),
        ("click_role", {"role": "link", "name": "Long"}, "2 elements have this role and name: refs 1, 2"),
        ("click_role", {"role": "link", "name": "long"}, "there is no link with this name"),
        ("click_role", {"role": "list", "name": "x"}, "role must be link or button or checkbox or radio or switch"),
        ("click_role", {"role": "button", "name": "Send"}, "the form would change something"),
        ("click_role", {"role": "button", "name": "Idle"}, "nothing happens when button 'Idle'"),
        ("type", {"ref": 1, "text": "x"}, "nothing can be typed"),
        ("type_role", {"role": "textbox", "name": "Fixed", "text": "x"}, "nothing can be typed"),
        ("type_role", {"role": "textbox", "name": "Off", "text": "x"}, "nothing can be typed"),
        ("type", {"ref": 7, "text": "a\nb"}, "text must be one line"),
        ("type", {"ref": 7, "text": "x" * 3000}, "text must be a text of at most 2000"),
        ("press", {"key": "F1"}, "key must be Enter or Backspace"),
        ("press", {"key": "Enter"}, "no field has the cursor"),
        ("scroll", {"direction": "left"}, "direction must be down or up"),
        ("wait", {"seconds": 1e9}, "seconds must be a number from 0 to 30"),
        ("wait", {"seconds": float("nan")}, "seconds must be a number"),
        ("stop", {"answer": None}, "answer must be a text"),
        ("stop", {}, "stop takes answer"),
        ("view_more", {"x": 1}, "view_more takes no arguments"),
        ("reset", {"task": None}, "there is no tool 'reset'"),
        ("__init__", {}, "there is no tool"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_and_changes_nothing(session, name, arguments, said):
    before = session.wait(0)
    assert call(session, name, arguments).startswith("Error: ")
    assert said in call(session, name, arguments)
    assert session.wait(0) == before
    assert session.answer is None


def test_an_answer_ends_it(session):
    assert session.stop("42") == "The answer was taken."
    assert session.answer == "42"
    assert session.goto(HOME) == session.stop("43") == "Error: the answer was given already"
    assert session.answer == "42"
    session.reset(None)
    assert (session.answer, session.visited) == (None, {})
    assert session.view_more() == "Error: no page is open: go to one first"


def test_every_action_is_a_tool_with_a_schema():
    schemas = {one["function"]["name"]: one["function"] for one in tool_schemas()}
    assert set(schemas) == set(ACTIONS) == set(tools_of(Session(lambda: None)))
    assert len(schemas) == 10
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema["parameters"])
        assert all(one["description"] for one in schema["parameters"]["properties"].values())


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 20), st.floats(), st.text(max_size=5), st.just(HOME), st.sampled_from(["link", "button", "textbox", "Word", "Find", "Long", "Enter", "down"]))  # fmt: skip
_CALLS = st.one_of(
    [
        st.tuples(st.just(name), st.fixed_dictionaries(dict.fromkeys(arguments, _VALUES)))
        for name, arguments in ACTIONS.items()
    ]
)


@settings(max_examples=40)
@given(st.lists(_CALLS, max_size=8))
def test_a_session_depends_on_its_calls_alone_and_never_raises(forms, calls):
    shown = []
    for _ in range(2):
        session = Session(lambda: CacheBrowser(forms))
        shown.append([call(session, name, arguments) for name, arguments in calls])
    assert shown[0] == shown[1]
