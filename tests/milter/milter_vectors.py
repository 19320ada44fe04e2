"""Every message of the protocol beside its bytes, written out by hand from the reference."""

import struct

from gateway.milter import messages as m
from gateway.milter.constants import Actions, MacroStage, Steps


def packet(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


COMMANDS: list[tuple[m.AnyCommand, bytes]] = [
    (
        m.Negotiate(6, Actions(0x1FF), Steps(0x1FFFFF)),
        bytes.fromhex("0000000d 4f 00000006 000001ff 001fffff"),
    ),
    (m.Macros(b"C", b"j\0mx\0"), packet(b"DCj\0mx\0")),
    (m.Macros(b"H", b""), packet(b"DH")),
    (m.Connect(b"mx.test", b"4", 25, b"192.0.2.1"), packet(b"Cmx.test\0" + b"4\x00\x19" + b"192.0.2.1\0")),
    (m.Connect(b"v6", b"6", 50000, b"2001:db8::1"), packet(b"Cv6\0" + b"6\xc3\x50" + b"2001:db8::1\0")),
    (m.Connect(b"localhost", b"L", 0, b"/run/s"), packet(b"Clocalhost\0L\0\0/run/s\0")),
    (m.Connect(b"localhost", b"U", 0, None), packet(b"Clocalhost\0U")),
    (m.Helo(b"c.test"), packet(b"Hc.test\0")),
    (m.Helo(b""), packet(b"H\0")),
    (m.Mail(b"<a@x>", (b"SIZE=100", b"BODY=8BITMIME")), packet(b"M<a@x>\0SIZE=100\0BODY=8BITMIME\0")),
    (m.Mail(b""), packet(b"M\0")),
    (m.Rcpt(b"<b@y>"), packet(b"R<b@y>\0")),
    (m.Rcpt(b"<\xff@y>", (b"NOTIFY=NEVER",)), packet(b"R<\xff@y>\0NOTIFY=NEVER\0")),
    (m.Data(), packet(b"T")),
    (m.Header(b"Subject", b" hi\n there"), packet(b"LSubject\0 hi\n there\0")),
    (m.Header(b"X", b""), packet(b"LX\0\0")),
    (m.EndOfHeaders(), packet(b"N")),
    (m.Body(b"a\0b\r\n"), packet(b"Ba\0b\r\n")),
    (m.EndOfMessage(), packet(b"E")),
    (m.EndOfMessage(b"last"), packet(b"Elast")),
    (m.Unknown(b"FOO bar"), packet(b"UFOO bar\0")),
    (m.Unknown(b""), packet(b"U\0")),
    (m.Abort(), packet(b"A")),
    (m.Quit(), packet(b"Q")),
    (m.QuitNewConnection(), packet(b"K")),
]

AGREEMENTS: list[tuple[m.Agreement, bytes]] = [
    (m.Agreement(2, Actions(0x3F), Steps(0)), bytes.fromhex("0000000d 4f 00000002 0000003f 00000000")),
    (
        m.Agreement(
            6,
            Actions(0x1FF),
            Steps(0x100400),
            ((MacroStage.CONNECT, (b"j", b"{client_addr}")), (MacroStage.END_OF_MESSAGE, (b"i",))),
        ),
        packet(
            b"O"
            + bytes.fromhex("00000006 000001ff 00100400")
            + bytes.fromhex("00000000")
            + b"j {client_addr}\0"
            + bytes.fromhex("00000005")
            + b"i\0"
        ),
    ),
]

REPLIES: list[tuple[m.Reply, bytes]] = [
    (m.Continue(), packet(b"c")),
    (m.Accept(), packet(b"a")),
    (m.Reject(), packet(b"r")),
    (m.TempFail(), packet(b"t")),
    (m.Discard(), packet(b"d")),
    (m.Skip(), packet(b"s")),
    (m.Shutdown(), packet(b"4")),
    (m.ReplyCode(b"550 5.7.1 No"), packet(b"y550 5.7.1 No\0")),
]

EDITS: list[tuple[m.Edit | m.Progress, bytes]] = [
    (m.Progress(), packet(b"p")),
    (m.AddHeader(b"X-A", b"v"), packet(b"hX-A\0v\0")),
    (m.AddHeader(b"X-A", b""), packet(b"hX-A\0\0")),
    (m.InsertHeader(0, b"X-A", b"v"), packet(b"i\0\0\0\0X-A\0v\0")),
    (m.InsertHeader(0x01020304, b"X-A", b"v"), packet(b"i\1\2\3\4X-A\0v\0")),
    (m.ChangeHeader(2, b"X-A", b"w"), packet(b"m\0\0\0\2X-A\0w\0")),
    (m.ChangeHeader(1, b"X-A", b""), packet(b"m\0\0\0\1X-A\0\0")),
    (m.ReplaceBody(b"new\0"), packet(b"bnew\0")),
    (m.ReplaceBody(b""), packet(b"b")),
    (m.AddRecipient(b"<c@z>"), packet(b"+<c@z>\0")),
    (m.AddRecipient(b"<c@z>", b"NOTIFY=NEVER"), packet(b"2<c@z>\0NOTIFY=NEVER\0")),
    (m.DeleteRecipient(b"<b@y>"), packet(b"-<b@y>\0")),
    (m.ChangeFrom(b"<>"), packet(b"e<>\0")),
    (m.ChangeFrom(b"<z@x>", b"RET=HDRS"), packet(b"e<z@x>\0RET=HDRS\0")),
    (m.Quarantine(b"why"), packet(b"qwhy\0")),
]
