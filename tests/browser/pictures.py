"""Makes the pictures of the documentation anew: `python -m tests.browser.pictures`, or `make pictures`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser.visitor import PHONE, Visitor, started_chromium, started_demo, visitor  # noqa: E402 - after the path

FOLDER = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 800}
CYCLE = 6
"""Mails in one round of the demo."""


def the_list(ann: Visitor) -> None:
    """The list with charts, health and rules."""
    ann.rows.nth(CYCLE + 1).wait_for()


def an_open_mail(ann: Visitor) -> None:
    """A mail: what was asked, what was answered."""
    the_list(ann)
    ann.row("Hi all").click()
    ann.unfold("end_of_message")


def a_difference(ann: Visitor) -> None:
    """What was changed in a message."""
    an_open_mail(ann)
    ann.exchange("end_of_message").locator("summary").first.click()
    ann.detail.get_by_role("group", name="What was changed").scroll_into_view_if_needed()


def a_trial(ann: Visitor) -> None:
    """The form that tries a message."""
    ann.page.get_by_role("link", name="Try a message").click()
    ann.page.get_by_role("button", name="Put in a sample").click()


PICTURES: Mapping[str, tuple[Callable[[Visitor], None], dict[str, Any]]] = {
    "list": (the_list, {"viewport": SIZE}),
    "list-dark": (the_list, {"viewport": SIZE, "color_scheme": "dark"}),
    "mail": (an_open_mail, {"viewport": SIZE}),
    "difference": (a_difference, {"viewport": SIZE}),
    "try": (a_trial, {"viewport": {"width": 1280, "height": 720}}),
    "phone": (the_list, {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
}


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with started_chromium() as browser, started_demo(interval=1.0) as address:
        for name, (show, options) in PICTURES.items():
            with visitor(browser, address, reduced_motion="reduce", **options) as ann:
                ann.open()
                show(ann)
                ann.page.screenshot(path=FOLDER / f"{name}.png")
            print(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    main()
