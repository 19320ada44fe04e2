"""The state machine: the full product of states and commands, of commands and replies, of flags."""

from collections import deque
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milter_vectors import COMMANDS

from gateway.milter import messages as m
from gateway.milter.codec import FrameBuffer
from gateway.milter.constants import Actions, Steps
from gateway.milter.errors import ProtocolError
from gateway.milter.mta_codec import encode_command
from gateway.milter.session import NEXT, OPEN, Session, State, Step, order_for

OFFER = m.Negotiate(6, Actions(0x1FF), Steps(0x1FFFFF))
BY_LETTER: dict[str, m.AnyCommand] = {
    "O": OFFER,
    "C": m.Connect(b"mx.test", b"4", 25, b"192.0.2.1"),
    "H": m.Helo(b"c.test"),
    "M": m.Mail(b"<a@x>"),
    "R": m.Rcpt(b"<b@y>"),
    "T": m.Data(),
    "L": m.Header(b"Subject", b"hi"),
    "N": m.EndOfHeaders(),
    "B": m.Body(b"body\r\n"),
    "E": m.EndOfMessage(),
    "U": m.Unknown(b"FOO"),
    "A": m.Abort(),
    "Q": m.Quit(),
    "K": m.QuitNewConnection(),
    "D": m.Macros(b"M", b""),
}
WAY: dict[State, str] = {
    State.START: "",
    State.READY: "O",
    State.CONNECTED: "OC",
    State.MAIL: "OCM",
    State.RCPT: "OCMR",
    State.DATA: "OCMRT",
    State.HEADERS: "OCMRTL",
    State.END_OF_HEADERS: "OCMRTLN",
    State.BODY: "OCMRTLNB",
}
"""How each state is reached."""

S = State
PERMITTED: dict[State, dict[str, State]] = {
    S.START: {"O": S.READY, "Q": S.START},
    S.READY: {"C": S.CONNECTED},
    S.CONNECTED: {"H": S.CONNECTED, "M": S.MAIL, "U": S.CONNECTED},
    S.MAIL: {"R": S.RCPT, "U": S.MAIL},
    S.RCPT: {
        "R": S.RCPT,
        "T": S.DATA,
        "L": S.HEADERS,
        "N": S.END_OF_HEADERS,
        "B": S.BODY,
        "E": S.CONNECTED,
        "U": S.RCPT,
    },
    S.DATA: {"R": S.RCPT, "T": S.DATA, "L": S.HEADERS, "N": S.END_OF_HEADERS, "U": S.DATA},
    S.HEADERS: {"L": S.HEADERS, "N": S.END_OF_HEADERS, "U": S.HEADERS},
    S.END_OF_HEADERS: {"B": S.BODY, "E": S.CONNECTED, "U": S.END_OF_HEADERS},
    S.BODY: {"B": S.BODY, "E": S.CONNECTED, "U": S.BODY},
}
"""Milter protocol 5.1, written down a second time; the commands that apply everywhere are added below."""
for permitted_there in (PERMITTED[state] for state in PERMITTED if state is not S.START):
    permitted_there |= {"K": S.READY}
for state_now, permitted_now in PERMITTED.items():
    if state_now is not S.START:
        permitted_now |= {"Q": state_now, "D": state_now, "A": S.CONNECTED if state_now in OPEN else state_now}
    if state_now in OPEN:
        permitted_now |= {"M": S.MAIL, "H": S.CONNECTED}


NONE = Steps(0)


def agreed(steps: Steps = NONE, version: int = 6) -> m.Agreement:
    return m.Agreement(version, Actions(0x1FF), steps)


def say(session: Session, command: m.AnyCommand) -> Step:
    buffer = FrameBuffer()
    buffer.feed(encode_command(command))
    frame = buffer.next_frame()
    assert frame is not None
    return session.receive(frame)


def session_in(state: State, steps: Steps = NONE) -> Session:
    session = Session()
    for letter in WAY[state]:
        say(session, BY_LETTER[letter])
        if letter == "O":
            session.agree(agreed(steps))
        else:
            session.replied(m.Continue())
    assert session.state is state
    return session


# ── states and commands ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_of_this_test_is_whole() -> None:
    assert set(PERMITTED) == set(State) == set(WAY) == set(NEXT)


@pytest.mark.parametrize("letter", BY_LETTER)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_a_command_is_permitted_exactly_where_it_belongs(state: State, letter: str) -> None:
    session = session_in(state)
    target = PERMITTED[state].get(letter)
    if target is None:
        with pytest.raises(ProtocolError):
            say(session, BY_LETTER[letter])
        assert session.state is state
    else:
        say(session, BY_LETTER[letter])
        assert session.state is target


# ── what is left out ───────────────────────────────────────────────────────────────────────────────────────────────

MISSING = {
    Steps.NO_CONNECT: {m.Connect},
    Steps.NO_MAIL: {m.Mail},
    Steps.NO_RCPT: {m.Rcpt},
    Steps.NO_DATA: {m.Data},
    Steps.NO_HEADERS: {m.EndOfHeaders},
    Steps.NO_END_OF_HEADERS: {m.EndOfHeaders},
}


def reachable(state: State, missing: set[type]) -> dict[type, State]:
    """Breadth first: what may come next where some commands are left out; the shortest way names the target."""
    found: dict[type, State] = {}
    queue, seen = deque([state]), {state}
    while queue:
        here = queue.popleft()
        for command, target in NEXT[here].items():
            found.setdefault(command, target)
            if command in missing and target not in seen:
                seen.add(target)
                queue.append(target)
    return found


FLAGS = [*MISSING]
SETS = [sum(chosen, Steps(0)) for size in range(len(FLAGS) + 1) for chosen in combinations(FLAGS, size)]


@pytest.mark.parametrize("version", [2, 3, 4, 6])
def test_what_is_negotiated_away_may_be_missing_and_nothing_else(version: int) -> None:
    for number in SETS:
        steps = Steps(number)
        missing = {kind for flag in FLAGS if steps & flag for kind in MISSING[flag]}
        missing |= {m.Data} if version < 4 else set()
        order = order_for(version, steps)
        for state in State:
            assert dict(order[state]) == reachable(state, missing), (version, steps, state)


@pytest.mark.parametrize(
    ("steps", "conversation"),
    [
        (Steps.NO_CONNECT, "OM"),
        (Steps.NO_CONNECT | Steps.NO_HELO, "OMRTLNBE"),
        (Steps.NO_MAIL, "OCRTLNBE"),
        (Steps.NO_MAIL, "OCHRTLNBERTLNBE"),
        (Steps.NO_RCPT, "OCMTLNBE"),
        (Steps.NO_DATA, "OCMRLNBE"),
        (Steps.NO_HEADERS, "OCMRTNBE"),
        (Steps.NO_HEADERS, "OCMRTBE"),
        (Steps.NO_END_OF_HEADERS, "OCMRTLBE"),
        (Steps.NO_BODY, "OCMRTLNE"),
        (Steps.NO_HEADERS | Steps.NO_END_OF_HEADERS | Steps.NO_BODY | Steps.NO_DATA, "OCMREMRE"),
        (Steps(0x37F), "OEEE"),
        (Steps(0), "OCMRTNE"),
        (Steps(0), "OCMRE"),
    ],
    ids=str,
)
def test_a_conversation_without_what_was_negotiated_away_is_permitted(steps: Steps, conversation: str) -> None:
    session = Session()
    for letter in conversation:
        say(session, BY_LETTER[letter])
        if letter == "O":
            session.agree(agreed(steps))
        else:
            session.replied(m.Accept() if letter == "E" else m.Continue())


@pytest.mark.parametrize("conversation", ["OM", "OCR", "OCT", "OCL", "OCE", "OCML", "OCMRTE", "OCMRTB", "OCMRTLE"])
def test_a_conversation_with_a_gap_is_refused(conversation: str) -> None:
    session = Session()
    for letter in conversation[:-1]:
        say(session, BY_LETTER[letter])
        if letter == "O":
            session.agree(agreed())
    with pytest.raises(ProtocolError, match="out of order"):
        say(session, BY_LETTER[conversation[-1]])


# ── replies ────────────────────────────────────────────────────────────────────────────────────────────────────────

REPLIES: dict[str, m.Reply] = {
    "continue": m.Continue(),
    "skip": m.Skip(),
    "accept": m.Accept(),
    "discard": m.Discard(),
    "reject": m.Reject(),
    "tempfail": m.TempFail(),
    "reply code": m.ReplyCode(b"550 5.7.1 No"),
}
REFUSALS = {"reject", "tempfail", "reply code"}
ENDINGS = {"accept", "discard"}
ENDED_BY = {
    "C": set(),
    "H": set(),
    "M": REFUSALS | ENDINGS,
    "R": ENDINGS,
    "T": ENDINGS,
    "L": REFUSALS | ENDINGS,
    "N": REFUSALS | ENDINGS,
    "B": REFUSALS | ENDINGS,
    "E": set(REPLIES),
    "U": set(),
}
BEFORE = {"C": "O", "H": "OC", "M": "OC", "R": "OCM", "T": "OCMR", "L": "OCMRT", "N": "OCMRTL", "B": "OCMRTLN"}
BEFORE |= {"E": "OCMRTLNB", "U": "OCMR"}


@pytest.mark.parametrize("word", REPLIES)
@pytest.mark.parametrize("letter", ENDED_BY)
def test_a_reply_ends_the_transaction_exactly_where_the_mta_ends_it(letter: str, word: str) -> None:
    session = Session()
    for before in BEFORE[letter]:
        say(session, BY_LETTER[before])
        if before == "O":
            session.agree(agreed())
        else:
            session.replied(m.Continue())
    say(session, BY_LETTER[letter])
    open_before = session.transaction_open
    session.replied(REPLIES[word])
    assert session.transaction_open is (open_before and word not in ENDED_BY[letter])


@pytest.mark.parametrize("word", sorted(REFUSALS))
def test_after_a_refused_data_it_may_be_tried_again(word: str) -> None:
    session = session_in(State.RCPT)
    say(session, m.Data())
    session.replied(REPLIES[word])
    assert session.state is State.RCPT
    say(session, m.Data())


@pytest.mark.parametrize("state", [State.HEADERS, State.END_OF_HEADERS, State.BODY], ids=lambda state: state.name)
def test_after_a_refused_content_nothing_but_another_message_comes(state: State) -> None:
    session = session_in(state)
    session.replied(m.ReplyCode(b"550 5.7.1 No"))
    with pytest.raises(ProtocolError):
        say(session, m.Body(b"x"))
    say(session, m.Mail(b"<a@x>"))


# ── endings ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("letter", "MH")
@pytest.mark.parametrize("state", sorted(OPEN, key=lambda state: state.value), ids=lambda state: state.name)
def test_mail_and_helo_inside_a_transaction_end_it_first(state: State, letter: str) -> None:
    step = say(session_in(state), BY_LETTER[letter])
    assert step == Step((m.Abort(), BY_LETTER[letter]), owed=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("letter", "MH")
def test_mail_and_helo_outside_a_transaction_end_nothing(letter: str) -> None:
    step = say(session_in(State.CONNECTED), BY_LETTER[letter])
    assert step.events == (BY_LETTER[letter],)


@pytest.mark.parametrize("state", sorted(OPEN, key=lambda state: state.value), ids=lambda state: state.name)
def test_an_abort_of_an_open_transaction_is_told_and_not_answered(state: State) -> None:
    assert say(session_in(state), m.Abort()) == Step((m.Abort(),), owed=False)


@pytest.mark.parametrize("state", [State.READY, State.CONNECTED], ids=lambda state: state.name)
def test_an_abort_of_nothing_means_nothing(state: State) -> None:
    assert say(session_in(state), m.Abort()) == Step()


def test_after_quit_nc_the_terms_still_hold_and_a_client_connects() -> None:
    session = session_in(State.BODY, Steps.NR_HELO)
    assert say(session, m.QuitNewConnection()) == Step((m.QuitNewConnection(),), owed=False)
    say(session, BY_LETTER["C"])
    assert say(session, BY_LETTER["H"]).owed is False


def test_nothing_is_owed_before_the_negotiation_is_over() -> None:
    with pytest.raises(ProtocolError):
        Session().owes(m.Connect)


# ── who owes a reply ───────────────────────────────────────────────────────────────────────────────────────────────

UNANSWERED = {
    "C": Steps.NR_CONNECT,
    "H": Steps.NR_HELO,
    "M": Steps.NR_MAIL,
    "R": Steps.NR_RCPT,
    "T": Steps.NR_DATA,
    "L": Steps.NR_HEADER,
    "N": Steps.NR_END_OF_HEADERS,
    "B": Steps.NR_BODY,
    "U": Steps.NR_UNKNOWN,
}
ALL_UNANSWERED = Steps(sum(UNANSWERED.values()))


def step_of(letter: str, steps: Steps) -> Step:
    session = Session()
    for before in BEFORE[letter]:
        say(session, BY_LETTER[before])
        if before == "O":
            session.agree(agreed(steps))
    return say(session, BY_LETTER[letter])


@pytest.mark.parametrize("letter", UNANSWERED)
def test_a_command_is_answered_unless_its_own_flag_was_agreed(letter: str) -> None:
    assert step_of(letter, Steps(0)).owed
    assert step_of(letter, ALL_UNANSWERED & ~UNANSWERED[letter]).owed
    assert not step_of(letter, UNANSWERED[letter]).owed


def test_the_end_of_a_message_is_always_answered() -> None:
    assert step_of("E", ALL_UNANSWERED).owed


def test_the_offer_is_answered_and_macros_are_not() -> None:
    session = Session()
    assert say(session, OFFER) == Step((OFFER,), owed=True)
    session.agree(agreed())
    assert say(session, BY_LETTER["D"]) == Step()


def test_a_chunk_in_the_end_of_message_packet_is_a_body_event_before_it() -> None:
    session = session_in(State.END_OF_HEADERS)
    end = m.EndOfMessage(b"last")
    assert say(session, end) == Step((m.Body(b"last"), end), owed=True)


# ── anything at all ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.sampled_from([*BY_LETTER.values()]), st.sampled_from([*REPLIES.values()])), max_size=30))
def test_any_order_is_either_taken_or_a_protocol_error(exchange: list[tuple[m.AnyCommand, m.Reply]]) -> None:
    session = Session()
    for command, reply in [(OFFER, m.Continue()), *exchange]:
        before = session.state
        try:
            step = say(session, command)
        except ProtocolError:
            assert session.state is before
            continue
        if isinstance(command, m.Negotiate):
            session.agree(agreed())
        elif step.owed:
            session.replied(reply)


@given(st.lists(st.tuples(st.sampled_from([code for code, *_ in BY_LETTER]), st.binary(max_size=20)), max_size=20))
def test_any_packets_are_either_taken_or_a_protocol_error(packets: list[tuple[str, bytes]]) -> None:
    session = Session()
    for letter, payload in packets:
        try:
            step = session.receive((letter.encode(), payload))
        except ProtocolError:
            continue
        if step.events and isinstance(step.events[0], m.Negotiate):
            session.agree(agreed())


def test_every_command_of_the_table_is_one_of_the_protocol() -> None:
    kinds = {type(value) for value, _ in COMMANDS}
    assert {kind for permitted in NEXT.values() for kind in permitted} <= kinds
