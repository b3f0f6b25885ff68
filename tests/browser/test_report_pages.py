"""The pages in a real browser: accessible, inert, reachable by keyboard, whole on paper and on small screens."""

import pytest

pytestmark = pytest.mark.slow

NAMES = ("report", "text", "comparison", "apart")
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@EVERY
def test_no_serious_barrier_with_all_details_open(name, scheme, opened):
    from axe_playwright_python.sync_playwright import Axe

    tab = opened(name, scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    # The schemes differ in nothing but colours.
    found = Axe().run(tab, options={"runOnly": ["cat.color"]} if scheme == "dark" else {}).response
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in grave]
    assert "color-contrast" in [rule["id"] for rule in found["passes"]]
    assert len(found["passes"]) > 15 or scheme == "dark"


@EVERY
def test_nothing_is_loaded_nothing_complains_nothing_runs(name, opened, pages):
    tab = opened(name)
    assert tab.loaded == [pages[name].as_uri()]
    assert tab.complaints == []
    assert tab.title() != "run"
    assert tab.evaluate("document.scripts.length") == 0
    assert tab.evaluate("getComputedStyle(document.body).display") != "none"


@EVERY
def test_every_control_is_reached_by_the_tab_key_and_shows_it(name, opened):
    tab = opened(name)
    wanted = tab.evaluate(
        """() => {
            const all = [...document.querySelectorAll('a[href], summary, [tabindex="0"]')];
            const seen = all.filter(part => part.tagName == 'SUMMARY' || !part.closest('details'));
            seen.forEach((part, place) => { part.dataset.place = place });
            return seen.length;
        }"""
    )
    reached = []
    for _ in range(wanted):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate(
                """() => {
                    const part = document.activeElement, style = getComputedStyle(part);
                    const box = part.getBoundingClientRect();
                    const outlined = style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 2;
                    return [part.dataset.place, outlined, box.width > 0 && box.left >= 0];
                }"""
            )
        )
    assert [int(place) for place, _, _ in reached] == list(range(wanted))
    assert all(outlined and visible for _, outlined, visible in reached)


def test_details_open_and_close_by_keyboard(opened):
    tab = opened("report")
    first = tab.locator("summary").first
    first.focus()
    for shown in (True, False):
        tab.keyboard.press("Enter")
        assert tab.locator("details table").first.is_visible() is shown


def test_the_skip_link_leads_to_the_table(opened):
    tab = opened("report")
    tab.keyboard.press("Tab")
    assert tab.locator(".skip").bounding_box()["x"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#table"


@EVERY
def test_on_paper_all_details_are_open(name, opened):
    tab = opened(name, media="print")
    hidden = tab.evaluate(
        """() => [...document.querySelectorAll('details')].filter(part =>
            part.open || !part.querySelector('table').checkVisibility({contentVisibilityAuto: true})
            || part.querySelector('table').getBoundingClientRect().height < 20).length"""
    )
    assert hidden == 0
    assert tab.locator("details").count() > 0 or name == "apart"
    on_screen = opened(name).locator("details table")
    assert not any(table.is_visible() for table in on_screen.all())


def test_on_paper_no_table_of_numbers_is_cut_off(opened):
    tab = opened("report", media="print", width=1017)  # A4 landscape less its margins
    cut = tab.evaluate(
        "() => [...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > 1018)"
        ".map(t => t.caption.innerText)"
    )
    assert cut == []


@pytest.mark.parametrize("width", [640, 320])  # 1280 pixels at 200 % and at 400 %
@EVERY
def test_a_narrow_window_needs_no_sideways_scrolling_of_the_page(name, width, opened):
    tab = opened(name, width=width)
    tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('svg.narrow, svg.wide').length") > 0 or name == "apart"


def test_hostile_text_is_shown_as_text(opened):
    tab = opened("text")
    tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    said = tab.locator("td .spoken").all_inner_texts()
    assert "<script>document.title='run'</script>" in said
    assert any("שלום" in text and "\u202e" not in text and "\x1b" not in text for text in said)
    assert tab.locator("img").count() == 0
    assert tab.locator("style").count() == 1
    widest = tab.evaluate("Math.max(...[...document.querySelectorAll('.spoken')].map(s => s.offsetWidth))")
    assert widest < 450


def test_text_is_marked_as_personal_and_absent_where_it_was_not_asked_for(opened):
    assert "personal data" in opened("text").locator(".warning").inner_text()
    plain = opened("report")
    assert plain.locator(".warning").count() == 0
    assert plain.locator(".spoken").count() == 0
