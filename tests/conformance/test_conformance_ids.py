"""The checklist itself: every case is carried by a test, and no test claims a case that does not exist."""

LAST = {"F": 8, "N": 9, "C": 10, "E": 9, "H": 12, "V": 14, "A": 15, "S": 10, "M": 6, "T": 7}
"""Section 10 of the protocol reference: for each letter the number of its last case."""
ALL = {f"{letter}{number:02}" for letter, last in LAST.items() for number in range(1, last + 1)}


def test_all_ids_are_covered(claimed: set[str]) -> None:
    assert claimed == ALL
