"""A login as its requests, without I/O. Each part is a generator: it yields a request as (expected status, method, target, fields,
form) and is sent the answer's fields, whose names ignore case, and its text. So blocking and asynchronous clients share one login.
"""

import base64
import hashlib
import re
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

CALLBACK = "http://127.0.0.1:9/callback"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Surprise(Exception):
    """An unexpected answer."""


def registration(name):
    return {"client_name": name, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}


def to_github(issuer, client_id, state="s"):
    """From the client's link through the consent: returns the redirect to GitHub, the browser's cookie, and the verifier."""
    parts = urlsplit(issuer)
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": client_id, "redirect_uri": CALLBACK, "scope": "mcp", "state": state,
        "code_challenge": challenge, "code_challenge_method": "S256", "resource": f"{issuer}/mcp",
    }
    # Characters that RFC 3986 allows in a query stay unescaped, as in a browser.
    fields, page = yield 200, "GET", f"{parts.path}/authorize?{urlencode(asked, safe=':/')}", {}, {}
    form = {"pending": re.search(r'name=pending value="?([^">\s]+)', page)[1], "decision": "approve"}
    cookie = {"Cookie": fields["set-cookie"].split(";")[0]}
    fields, _ = yield 303, "POST", f"{parts.path}/consent", FORM | cookie | {"Origin": f"{parts.scheme}://{parts.netloc}"}, form
    return fields["location"], cookie, verifier


def at_github(location, code):
    """The callback that GitHub redirects to with this code."""
    query = parse_qs(urlsplit(location).query)
    back = urlencode({"code": code, "state": query["state"][0]})
    return f"{urlsplit(query['redirect_uri'][0]).path}?{back}"


def to_client(callback, cookie, state="s"):
    """From GitHub's answer to the client: the authorization code."""
    fields, _ = yield 303, "GET", callback, cookie, {}
    answer = parse_qs(urlsplit(fields["location"]).query)
    if answer["state"] != [state]:
        raise Surprise(f"the state came back as {answer['state'][0][:80]}")
    return answer["code"][0]


def code_form(issuer, client_id, code, verifier):
    """The form that exchanges a code for tokens."""
    return {
        "grant_type": "authorization_code", "code": code, "client_id": client_id, "redirect_uri": CALLBACK,
        "code_verifier": verifier, "resource": f"{issuer}/mcp",
    }


def drive(steps, send):
    """Sends each request of `steps` by `send(expected, method, target, fields, form)`; returns the result of `steps`."""
    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = send(*request)
