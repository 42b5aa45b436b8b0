//! A browser that walks through the account page.

use super::{Fixture, text};
use crate::http::fake::request;
use crate::http::{self, Form, Method, Response};

const ORIGIN: &str = "https://mcp.example.com";

/// A browser that walks through the account page.
pub(crate) struct Visitor<'a> {
    /// Where it is sent.
    pub(crate) fixture: &'a Fixture,
    /// `name=value`
    pub(crate) cookies: Vec<String>,
    /// The sealed value in the list's form.
    pub(crate) form: String,
    /// The state that GitHub was given.
    pub(crate) github_state: String,
    /// Where it is.
    pub(crate) peer: [u8; 4],
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(fixture: &'a Fixture) -> Visitor<'a> {
        let (form, github_state) = (String::new(), String::new());
        Visitor { fixture, cookies: Vec::new(), form, github_state, peer: [192, 0, 2, 1] }
    }

    pub(crate) fn signed_in(fixture: &'a Fixture) -> Visitor<'a> {
        let mut visitor = Visitor::new(fixture);
        visitor.press("sign_in=github");
        visitor.callback("code=good");
        visitor.open();
        visitor
    }

    pub(crate) fn send(&mut self, request: http::Request) -> Response {
        let mut request = request.with("Cookie", &self.cookies.join("; "));
        request.head.peer = Some(std::net::IpAddr::from(self.peer));
        let server = &self.fixture.server;
        let response = match &*request.head.path {
            "/account" if request.head.method == Method::Post => server.account.post(&request),
            "/account" => server.account.get(&request.head),
            "/auth/callback" => server.callback.get(&request.head),
            other => panic!("{other}"),
        };
        for (_, value) in response.headers().filter(|(name, _)| *name == "Set-Cookie") {
            let cookie = value.split(';').next().unwrap();
            let name = cookie.split_once('=').unwrap().0;
            self.cookies.retain(|other| other.split_once('=').unwrap().0 != name);
            if !value.contains("Max-Age=0") {
                self.cookies.push(cookie.to_owned());
            }
        }
        if let Some((_, rest)) = text(&response).split_once("name=form value=\"") {
            self.form = rest.split('"').next().unwrap().to_owned();
        }
        response
    }

    pub(crate) fn open(&mut self) -> Response {
        self.send(request("GET", "/account"))
    }

    /// Presses a button of the page, as a browser does.
    pub(crate) fn press(&mut self, button: &str) -> Response {
        self.press_with(button, &[("Origin", ORIGIN), ("Sec-Fetch-Site", "same-origin")])
    }

    pub(crate) fn press_with(&mut self, button: &str, headers: &[(&str, &str)]) -> Response {
        let body = format!("form={}&{button}", self.form);
        let mut request =
            request("POST", "/account").with("Content-Type", "application/x-www-form-urlencoded").body(body);
        for (name, value) in headers {
            request = request.with(name, value);
        }
        let response = self.send(request);
        if let Some((_, query)) = response.header_value("location").and_then(|to| to.split_once('?')) {
            let query = Form::parse(query.as_bytes()).unwrap();
            self.github_state = query.value("state").unwrap_or_default().to_owned();
        }
        response
    }

    pub(crate) fn callback(&mut self, query: &str) -> Response {
        self.send(request("GET", &format!("/auth/callback?state={}&{query}", self.github_state)))
    }

    pub(crate) fn session(&self) -> &str {
        self.cookies.iter().find_map(|cookie| cookie.strip_prefix("__Host-mcp_account=")).unwrap()
    }
}
