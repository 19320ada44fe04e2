"""Put [EXTERNAL] in front of the subject of mail that comes from outside.

This breaks a DKIM signature over the subject, so let signatures be verified before.
"""

from base64 import b64decode, b64encode

from fastapi import FastAPI, Request

TAG = "[EXTERNAL] "

app = FastAPI()


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    call = await request.json()
    if call["auth"]:  # one of our own users has logged in
        return {}
    fields = call["message"]["headers"]
    subject = next((field for field in fields if field["name"].lower() == "subject"), {"value": ""})
    if TAG in subject["value"]:  # an answer to a mail that was tagged before
        return {}
    return {"changes": [{"op": "set_header", "name": "Subject", **tagged(subject)}]}


def tagged(subject: dict) -> dict:
    if "value_base64" in subject:  # raw bytes that are no UTF-8: "value" cannot show them, these are exact
        exact = TAG.encode() + b64decode(subject["value_base64"])
        return {"value_base64": b64encode(exact).decode()}
    return {"value": TAG + subject["value"]}
