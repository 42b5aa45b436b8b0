//! The pages of the simulated GitHub: HTML and one style sheet, no script, no external content.

use super::Person;
use crate::http::{self, Form, Response, escape};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:0 auto;padding:1rem}\
header{background:#b00020;color:#fff;text-align:center;font-weight:bold;padding:1rem;border-radius:.5rem}\
header strong{display:block;font-size:min(2.5rem,11vw)}\
fieldset{border:1px solid #8888;border-radius:.5rem;margin:1rem 0}\
label{display:block;padding:.4rem 0}\
button{font:inherit;padding:.6rem 1.2rem;margin:0 .5rem .5rem 0;border:1px solid #8888;border-radius:.5rem}\
code{overflow-wrap:anywhere}";

/// Parameters of the request that the form sends back.
const CARRIED: [&str; 6] =
    ["client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method"];

/// The page on which the person chooses a user and authorizes or cancels.
pub(super) fn choose(form: &Form, people: &[Person]) -> Response {
    let mut hidden = String::new();
    for name in CARRIED {
        if let Some(value) = form.value(name) {
            let value = escape(value);
            hidden.push_str(&format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"));
        }
    }
    let mut choices = String::new();
    for (index, Person { login, name, membership, .. }) in people.iter().enumerate() {
        let checked = if index == 0 { " checked" } else { "" };
        let membership = match membership {
            Some(state) => format!("{state} in {} and its team {}", super::ORG, super::TEAM),
            None => format!("not in {}", super::ORG),
        };
        choices.push_str(&format!(
            "<label><input type=\"radio\" name=\"login\" value=\"{login}\"{checked}> \
             <b>{login}</b> ({name}, {membership})</label>"
        ));
    }
    let redirect_uri = escape(form.value("redirect_uri").unwrap_or_default());
    let scope = escape(form.value("scope").unwrap_or("nothing but who you are"));
    page(
        200,
        &format!(
            "<h1>Sign in</h1><p>An app wants to know who you are at GitHub. It asks for: <code>{scope}</code>. \
             The answer goes to <code>{redirect_uri}</code>.</p>\
             <form method=\"post\" action=\"/login/oauth/authorize\">{hidden}\
             <fieldset><legend>Be one of these made-up people</legend>{choices}</fieldset>\
             <button name=\"decision\" value=\"authorize\">Authorize</button>\
             <button name=\"decision\" value=\"cancel\">Cancel</button></form>"
        ),
    )
}

/// An error page.
pub(super) fn problem(status: u16, text: &'static str) -> Response {
    page(status, &format!("<h1>This does not work</h1><p>{text}</p>"))
}

/// A whole page around `main`.
fn page(status: u16, main: &str) -> Response {
    let body = format!(
        "<header><strong>SIMULATED</strong> This is not GitHub. Nobody's identity is checked here.</header><main>{main}</main>"
    );
    http::page(status, "Simulated GitHub", STYLE, &body)
}
