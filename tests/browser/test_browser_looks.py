"""The page on a telephone, in the dark, by keyboard alone, and for those who hear it."""

import re
from typing import Any

import pytest
from browser.visitor import PATIENCE_MS, PHONE, Visitor
from playwright.sync_api import expect

expect.set_options(timeout=PATIENCE_MS)

CONTROLS = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "switch", "DisclosureTriangle"}
CONTROLS |= {"dialog", "img", "image", "form", "region"}

CONTRASTS = """() => {
  const shown = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    shown.clearRect(0, 0, 1, 1);
    shown.fillStyle = text;
    shown.fillRect(0, 0, 1, 1);
    return [...shown.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = colour(getComputedStyle(node).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: node, textContent: text } = walker.currentNode;
    if (!text.trim() || !node.checkVisibility() || node.closest("svg, .unseen, .skip, noscript")) continue;
    const [one, other] = [light(colour(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${text.trim().slice(0, 40)}`);
  }
  return [...new Set(faint)];
}"""


def names_of_controls(ann: Visitor) -> list[tuple[str, str]]:
    """Role and name of everything that can be used or that claims a place, as Chromium tells a screen reader."""
    tree = ann.page.context.new_cdp_session(ann.page).send("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], str(node.get("name", {}).get("value", "")).strip())
        for node in tree
        if not node["ignored"] and node["role"]["value"] in CONTROLS
    ]


def is_wider_than_the_screen(ann: Visitor) -> bool:
    """Whether anything has to be scrolled sideways."""
    parts = "[document.documentElement, ...document.querySelectorAll('section')]"
    script = f"{parts}.some((node) => node.scrollWidth > node.clientWidth + 1)"
    return bool(ann.page.evaluate(script))


def background(ann: Visitor) -> Any:
    return ann.page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_it_fits_a_telephone(visit, demo: str) -> None:
    ann = visit(demo, viewport=PHONE, has_touch=True, is_mobile=True)
    expect(ann.row("Hi all")).to_be_visible()
    assert not is_wider_than_the_screen(ann)
    ann.page.locator("summary", has_text="Overview").tap()
    expect(ann.page.get_by_role("switch").first).to_be_visible()
    assert not is_wider_than_the_screen(ann)
    ann.page.locator("summary", has_text="Overview").tap()
    ann.row("Hi all").tap()
    expect(ann.detail.get_by_role("heading", name="Hi all")).to_be_visible()
    call = ann.unfold("end_of_message")
    call.get_by_role("button", name="Replay…").tap()
    assert not is_wider_than_the_screen(ann)
    expect(ann.row("Hi all")).to_be_hidden()
    ann.page.get_by_role("button", name="Close, back to the list").tap()
    expect(ann.row("Hi all")).to_be_visible()
    ann.page.get_by_role("link", name="Try a message").tap()
    expect(ann.page.get_by_role("button", name="Run it")).to_be_visible()
    assert not is_wider_than_the_screen(ann)


def test_colours_follow_the_system_and_can_be_chosen(visit, demo: str) -> None:
    ann = visit(demo, color_scheme="dark")
    dark = background(ann)
    ann.page.emulate_media(color_scheme="light")
    light = background(ann)
    assert dark != light
    switch = ann.page.get_by_role("button", name=re.compile("Colours"))
    switch.click()
    switch.click()
    expect(switch).to_have_accessible_name("Colours: dark. Change")
    assert background(ann) == dark
    ann.reload()
    assert background(ann) == dark
    switch.click()
    assert background(ann) == light


def test_the_keyboard_is_enough(ann: Visitor) -> None:
    keys = ann.page.keyboard
    expect(ann.rows.nth(4)).to_be_visible()
    keys.press("/")
    expect(ann.page.get_by_role("searchbox")).to_be_focused()
    keys.type("lunch")
    expect(ann.rows.filter(has_text="Hi all")).to_have_count(0)
    expect(ann.rows.nth(1)).to_be_visible()
    keys.press("Escape")
    expect(ann.page.get_by_role("searchbox")).to_have_value("")
    keys.press("Escape")
    keys.press("j")
    expect(ann.page.locator("a.row:focus")).to_have_count(1)
    first = ann.page.locator("a.row:focus").get_attribute("href")
    keys.press("j")
    second = ann.page.locator("a.row:focus").get_attribute("href")
    keys.press("k")
    assert (first != second, ann.page.locator("a.row:focus").get_attribute("href")) == (True, first)
    keys.press("Enter")
    expect(ann.detail.locator("h1")).to_be_focused()
    assert first
    assert ann.page.url.endswith(first)
    keys.press("j")
    expect(ann.page).to_have_url(re.compile(re.escape(second or "") + "$"))
    keys.press("Escape")
    expect(ann.detail).to_be_hidden()
    expect(ann.page.locator(f'a.row[href="{second}"]')).to_be_focused()
    keys.press("?")
    expect(ann.page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    expect(ann.page.get_by_role("dialog")).to_be_hidden()
    keys.press("t")
    expect(ann.page.get_by_role("heading", name="Try a message")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(ann.page.get_by_label("To (commas")).to_be_focused()


def test_a_switch_and_a_call_open_by_keyboard(ann: Visitor) -> None:
    rule = ann.page.get_by_role("switch", name=re.compile("disclaimer"))
    rule.focus()
    for now in (False, True):
        ann.page.keyboard.press("Space")
        expect(rule).to_be_checked(checked=now)
    ann.row("Lunch?").focus()
    ann.page.keyboard.press("Enter")
    summary = ann.exchange("rcpt").locator("summary").first
    summary.focus()
    ann.page.keyboard.press("Enter")
    expect(ann.exchange("rcpt").get_by_role("region", name="Answer")).to_be_visible()


def test_what_has_the_focus_can_be_seen(ann: Visitor) -> None:
    ann.row("Lunch?").focus()
    ann.page.keyboard.press("j")
    style = "(n) => { const s = getComputedStyle(n); return [s.outlineStyle, parseFloat(s.outlineWidth) >= 2]; }"
    assert ann.page.locator("a.row:focus").evaluate(style) == ["solid", True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_and_every_control_has_a_name(visit, demo: str, scheme: str) -> None:
    ann = visit(demo, color_scheme=scheme, reduced_motion="reduce")
    for verdict in ("accepted", "rejected", "tempfailed", "quarantined"):
        expect(ann.row(verdict)).to_be_visible()
    nameless = [("list", item) for item in names_of_controls(ann) if not item[1]]
    faint = ann.page.evaluate(CONTRASTS)
    ann.row("Hi all").click()
    call = ann.unfold("end_of_message")
    call.get_by_role("button", name="Replay…").click()
    call.get_by_role("button", name="Send again").click()
    expect(call).to_contain_text("The answer means the same as then.")
    nameless += [("mail", item) for item in names_of_controls(ann) if not item[1]]
    faint += ann.page.evaluate(CONTRASTS)
    ann.page.keyboard.press("?")
    nameless += [("help", item) for item in names_of_controls(ann) if not item[1]]
    ann.page.keyboard.press("Escape")
    ann.page.goto(f"{demo}#/try")
    expect(ann.page.get_by_role("button", name="Run it")).to_be_visible()
    nameless += [("try", item) for item in names_of_controls(ann) if not item[1]]
    faint += ann.page.evaluate(CONTRASTS)
    assert (nameless, faint) == ([], [])


def test_new_mail_is_told_politely(ann: Visitor) -> None:
    announcer = ann.page.locator("#announcer")
    expect(announcer).to_have_attribute("aria-live", "polite")
    expect(announcer).to_contain_text(re.compile(r"(accepted|rejected|tempfailed|quarantined): .* from"))
