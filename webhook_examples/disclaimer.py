"""Add a disclaimer to mail in plain text; mail of any other kind passes as it is.

In HTML, in base64 or under a signature a few lines more at the end would spoil the mail.
"""

from email.message import Message

from fastapi import FastAPI, Request

# ASCII, so that it fits whatever charset the mail declares; SMTP ends lines with CRLF.
DISCLAIMER = "\r\n-- \r\nThis mail is confidential. If it is not for you, please delete it.\r\n"

app = FastAPI()


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    call = await request.json()
    body = call["message"]["body"]
    if "text" not in body:  # bytes that are no UTF-8 come as "base64"
        return {}
    if not is_plain_text(call["message"]["headers"]) or DISCLAIMER in body["text"]:
        return {}
    return {"changes": [{"op": "replace_body", "text": body["text"] + DISCLAIMER}]}


def is_plain_text(fields: list[dict]) -> bool:
    """Python's mail parser knows the defaults: a mail without Content-Type is text/plain (RFC 2045 section 5.2)."""
    mail = Message()
    for field in fields:
        mail[field["name"]] = field["value"]
    encoding = mail.get("Content-Transfer-Encoding", "7bit").strip().lower()
    return mail.get_content_type() == "text/plain" and encoding in ("7bit", "8bit", "binary")
