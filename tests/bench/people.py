"""Access tokens of the simulated people of `demo`: each logs in with a browser and a client."""

import html
import http.client
import json
import os
import re
import sys
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import login  # noqa: E402

PEOPLE = ["octocat", "mona", "hubot"]


def ask(expected, method, url, fields, body=""):
    """Sends a request; returns the fields and the text of its answer, whose status must be as expected."""
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    try:
        connection.request(method, at.path + ("?" + at.query if at.query else ""), body, fields)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != expected:
        raise SystemExit(f"{method} {at.path} answered {answer.status}, not {expected}: {text[:300]}")
    return answer.headers, text


def answer_of_github(location, person):
    """The page at the simulated GitHub on which the person is chosen: returns the redirect."""
    _, page = ask(200, "GET", location, {})
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)
    form = {name: html.unescape(value) for name, value in hidden} | {"login": person, "decision": "authorize"}
    fields, _ = ask(303, "POST", "http://{0.netloc}{0.path}".format(urlsplit(location)), login.FORM, urlencode(form))
    back = urlsplit(fields["location"])
    return f"{back.path}?{back.query}"


def tokens(origin, people=PEOPLE):
    """Returns an access token for each person."""
    def send(expected, method, target, fields, form):
        return ask(expected, method, origin + target, fields, urlencode(form))
    registration = json.dumps(login.registration("Bench"))
    _, text = ask(201, "POST", f"{origin}/register", {"Content-Type": "application/json"}, registration)
    client_id = json.loads(text)["client_id"]
    found = []
    for person in people:
        location, cookie, verifier = login.drive(login.to_github(origin, client_id), send)
        code = login.drive(login.to_client(answer_of_github(location, person), cookie), send)
        form = login.code_form(origin, client_id, code, verifier)
        found.append(json.loads(send(200, "POST", "/token", login.FORM, form)[1])["access_token"])
    return found
