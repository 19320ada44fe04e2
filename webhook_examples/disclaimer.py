"""Add a disclaimer to what our own users write, each domain its own; only to plain text.

In HTML, in base64 or under a signature a few lines more at the end would spoil the mail: such mail passes as it is.
Let the milter that signs with DKIM come after this one.
"""

from email.message import Message
from email.utils import parseaddr

from fastapi import FastAPI, Request

# By the domain of the author, subdomains apart. ASCII, so that it fits whatever charset the mail declares.
DISCLAIMERS = {
    "site.example": "This mail is confidential. If it is not for you, please delete it.",
    "shop.example": "Example Shop Ltd, 1 High Street, Sitetown. Registered in Siteshire, no. 12345.",
}
PLAIN = ("7bit", "8bit", "binary")

app = FastAPI()


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    call = await request.json()
    body = call["message"].get("body", {})
    if not call["auth"] or call["data"]["truncated"] or "text" not in body:  # no UTF-8, it comes as "base64"
        return {}
    mail = (
        Message()
    )  # Python's parser knows the defaults: without Content-Type, it is text/plain (RFC 2045 section 5.2)
    for field in call["message"]["headers"]:
        mail[field["name"]] = field["value"]
    disclaimer = disclaimer_of(mail)
    if not disclaimer or disclaimer in body["text"]:
        return {}
    return {"changes": [{"op": "replace_body", "text": body["text"] + disclaimer}]}


def disclaimer_of(mail: Message) -> str | None:
    encoding = mail.get("Content-Transfer-Encoding", "7bit").strip().lower()
    if mail.get_content_type() != "text/plain" or encoding not in PLAIN:
        return None
    _, author = parseaddr(mail.get("From", ""))
    words = DISCLAIMERS.get(author.rpartition("@")[2].lower())
    return words and f"\r\n-- \r\n{words}\r\n"  # SMTP ends lines with CRLF
