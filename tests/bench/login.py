"""The whole login as a browser and a client do it, against the simulated GitHub of `demo`: an access token for each person."""

import base64
import hashlib
import html
import http.client
import json
import re
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

CALLBACK = "http://127.0.0.1:9/callback"
PEOPLE = ["octocat", "mona", "hubot"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(url, method="GET", fields=None, body=b"", expected=200):
    """Sends a request; the fields and the text of its answer, whose status must be as expected."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    try:
        connection.request(method, at.path + ("?" + at.query if at.query else ""), body, fields or {})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != expected:
        raise SystemExit(f"{method} {at.path} answered {answer.status}, not {expected}: {text[:300]}")
    return answer.headers, text


def register(origin):
    client = {"client_name": "Bench", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
    body = json.dumps(client).encode()
    return json.loads(ask(f"{origin}/register", "POST", {"Content-Type": "application/json"}, body, 201)[1])["client_id"]


def log_in(origin, client_id, person):
    """Authorize, consent, GitHub, token: the access token."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": client_id, "redirect_uri": CALLBACK, "scope": "mcp", "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256", "resource": f"{origin}/mcp",
    }
    fields, page = ask(f"{origin}/authorize?{urlencode(asked)}")
    cookie = {"Cookie": fields["Set-Cookie"].split(";")[0]}
    form = {"pending": re.search(r'name=pending value="?([^">\s]+)', page)[1], "decision": "approve"}
    to_github = ask(f"{origin}/consent", "POST", FORM | cookie, urlencode(form).encode(), 303)[0]["Location"]
    page = ask(to_github)[1]
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
    form = {name: html.unescape(value) for name, value in hidden} | {"login": person, "decision": "authorize"}
    github = "http://{0.netloc}{0.path}".format(urlsplit(to_github))
    back = ask(github, "POST", FORM, urlencode(form).encode(), 303)[0]["Location"]
    to_client = ask(back, "GET", cookie, expected=303)[0]["Location"]
    form = {
        "grant_type": "authorization_code", "code": parse_qs(urlsplit(to_client).query)["code"][0],
        "client_id": client_id, "redirect_uri": CALLBACK, "code_verifier": verifier, "resource": f"{origin}/mcp",
    }
    return json.loads(ask(f"{origin}/token", "POST", FORM, urlencode(form).encode())[1])["access_token"]


def tokens(origin, people=PEOPLE):
    client_id = register(origin)
    return [log_in(origin, client_id, person) for person in people]
