"""Keep a name alive: "A man is not dead while his name is still spoken" (Terry Pratchett, Going Postal).

See http://www.gnuterrypratchett.com/.
"""

from fastapi import FastAPI, Request

CLACKS = {"name": "X-Clacks-Overhead", "value": "GNU Terry Pratchett"}

app = FastAPI()


@app.post("/milter")
async def end_of_message(request: Request) -> dict:
    call = await request.json()
    names = [field["name"].lower() for field in call["message"]["headers"]]
    if CLACKS["name"].lower() in names:  # somebody before us has passed a name on
        return {}
    return {"changes": [{"op": "add_header", **CLACKS}]}
