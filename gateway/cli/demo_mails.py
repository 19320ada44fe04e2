"""The mails that `demo` plays, one after the other."""

from dataclasses import dataclass

from gateway.mta.mail import Mail


@dataclass(frozen=True, slots=True)
class DemoMail:
    """A mail, and what is to be seen with it."""

    title: str
    mail: Mail


def _mail(subject: str, text: str, *recipients: str, sender: str = "ann@client.example") -> Mail:
    raw = (
        f"From: <{sender}>\r\nTo: <{recipients[0]}>\r\nSubject: {subject}\r\n"
        f"Date: Fri, 20 Nov 2026 09:20:03 +0000\r\nMessage-ID: <demo@client.example>\r\n\r\n{text}\r\n"
    )
    return Mail(raw.encode(), sender, recipients, "out.client.example", "192.0.2.25")


_STRANGER = _mail("Do you remember me?", "We met last year.", "bob@demo.example", sender="stranger@far.example")

DEMO_MAILS = (
    DemoMail("a harmless mail: tagged, with a disclaimer", _mail("Lunch?", "Friday at noon?", "bob@demo.example")),
    DemoMail("one of two recipients is refused", _mail("Hi all", "Hello.", "nobody@demo.example", "bob@demo.example")),
    DemoMail("its only recipient is refused", _mail("Anyone?", "Hello?", "nobody@demo.example")),
    DemoMail("a stranger is greylisted", _STRANGER),
    DemoMail("the stranger tries again", _STRANGER),
    DemoMail("a virus is quarantined", _mail("Your invoice", "Please open this virus.", "bob@demo.example")),
)
