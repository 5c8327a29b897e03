"""Files of $SHARED, and at /sum the SHA-256 of what is posted: as WSGI and as ASGI."""

import hashlib
import os


def answer(path, body):
    if path == "/sum":
        return hashlib.sha256(body).hexdigest().encode()
    with open(os.environ["SHARED"] + path, "rb") as file:
        return file.read()


def wsgi(environment, start_response):
    out = answer(environment["PATH_INFO"], environment["wsgi.input"].read())
    start_response("200 OK", [("Content-Length", str(len(out)))])
    return [out]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    out = answer(scope["path"], body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(out))]})
    await send({"type": "http.response.body", "body": out})
