"""Which macro is visible when: milter protocol 6.4, with the exceptions of the contract."""

import pytest

from gateway.milter.macros import MacroScope


def announce(scope: MacroScope, stage: str, **values: str) -> None:
    payload = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in values.items())
    scope.announce(stage.encode(), payload)


def begin(scope: MacroScope, stage: str, **values: str) -> dict[bytes, bytes]:
    """Announce these values for a command, which follows; return what is visible then."""
    announce(scope, stage, **values)
    scope.begin(stage.encode())
    return dict(scope.visible())


def test_a_set_is_visible_from_its_command_on() -> None:
    scope = MacroScope()
    announce(scope, "C", j="mx")
    assert scope.visible() == {}
    scope.begin(b"C")
    assert scope.visible() == {b"j": b"mx"}
    scope.begin(b"H")
    assert scope.visible() == {b"j": b"mx"}


@pytest.mark.parametrize("order", ["CHMTNE"])
def test_sets_of_later_stages_are_added_to_those_of_earlier_ones(order: str) -> None:
    scope = MacroScope()
    for number, stage in enumerate(order, 1):
        visible = begin(scope, stage, **{f"{{m{stage}}}": stage})
        assert len(visible) == number


def test_a_later_stage_hides_the_value_of_an_earlier_one() -> None:
    scope = MacroScope()
    begin(scope, "C", i="early")
    assert begin(scope, "M", i="late") == {b"i": b"late"}


def test_the_end_of_the_message_hides_what_the_end_of_the_headers_said() -> None:
    scope = MacroScope()
    begin(scope, "N", i="headers")
    assert begin(scope, "E", i="message") == {b"i": b"message"}


def test_a_second_set_of_a_stage_replaces_the_first() -> None:
    scope = MacroScope()
    begin(scope, "C", j="mx", v="1")
    assert begin(scope, "C", j="my") == {b"j": b"my"}


def test_an_empty_set_empties_its_stage() -> None:
    scope = MacroScope()
    begin(scope, "M", i="Q1")
    assert begin(scope, "M") == {}


@pytest.mark.parametrize(
    ("command", "survivors"),
    [("C", "C"), ("H", "CH"), ("M", "CHM"), ("R", "CHM"), ("T", "CHMTNE"), ("L", "CHMTNE"), ("E", "CHMTNE")],
)
def test_a_command_clears_the_stages_after_its_own(command: str, survivors: str) -> None:
    scope = MacroScope()
    for stage in "CHMTNE":
        begin(scope, stage, **{f"m{stage}": stage})
    scope.begin(command.encode())
    assert {value.decode() for value in scope.visible().values()} == set(survivors)


@pytest.mark.parametrize("stage", "RLBU")
def test_a_set_of_a_repeated_command_is_visible_at_that_one_only(stage: str) -> None:
    scope = MacroScope()
    begin(scope, "M", i="Q1")
    assert begin(scope, stage, x="1") == {b"i": b"Q1", b"x": b"1"}
    scope.begin(stage.encode())
    assert scope.visible() == {b"i": b"Q1"}


@pytest.mark.parametrize("stage", "RLBU")
def test_a_set_of_a_repeated_command_hides_every_other(stage: str) -> None:
    scope = MacroScope()
    begin(scope, "M", i="Q1")
    assert begin(scope, stage, i="Q2") == {b"i": b"Q2"}


def test_the_end_of_a_transaction_drops_its_sets_and_keeps_those_of_the_session() -> None:
    scope = MacroScope()
    for stage in "CHMTNE":
        begin(scope, stage, **{f"m{stage}": stage})
    begin(scope, "R", r="1")
    scope.end_transaction()
    assert {value.decode() for value in scope.visible().values()} == {"C", "H"}


def test_sets_of_suppressed_commands_are_visible_at_the_next_that_comes() -> None:
    scope = MacroScope()
    announce(scope, "C", j="mx")
    announce(scope, "H", h="1")
    announce(scope, "M", i="Q1")
    announce(scope, "E", e="1")
    scope.begin(b"E")
    assert scope.visible() == {b"j": b"mx", b"h": b"1", b"i": b"Q1", b"e": b"1"}


def test_a_set_announced_before_an_implicit_abort_survives_it() -> None:
    scope = MacroScope()
    begin(scope, "M", i="Q1")
    announce(scope, "M", i="Q2")
    scope.end_transaction()
    scope.begin(b"M")
    assert scope.visible() == {b"i": b"Q2"}


def test_a_set_of_an_unknown_stage_is_ignored() -> None:
    scope = MacroScope()
    scope.announce(b"z", b"x\0y\0")
    scope.begin(b"C")
    assert scope.visible() == {}


def test_the_same_mapping_is_shown_as_long_as_nothing_changed() -> None:
    scope = MacroScope()
    begin(scope, "C", j="mx")
    first = scope.visible()
    scope.begin(b"H")
    assert scope.visible() is first
    begin(scope, "M", i="Q1")
    assert scope.visible() is not first
