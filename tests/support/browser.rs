//! A browser, as far as logins need one: cookies, forms parsed from the page, and the header fields that browsers add.

use super::http::{Answer, Request, split_url};

/// One browser with its cookies, all of them for one site.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    /// Follows a link to `url`, without further redirects.
    pub(crate) fn visit(&mut self, url: &str) -> Answer {
        let (authority, target) = split_url(url);
        self.load(authority, Request::get(target))
    }

    /// Presses the button with this name and value of a form of `page`, which came from `url`.
    pub(crate) fn press(&mut self, url: &str, page: &Answer, button: (&str, &str)) -> Answer {
        let (authority, _) = split_url(url);
        let forms = forms(page.text());
        let form =
            forms.iter().find(|form| form.buttons.iter().any(|(n, v)| (n.as_str(), v.as_str()) == button));
        let form = form.unwrap_or_else(|| panic!("no button {button:?} in {}", page.text()));
        assert_eq!(form.method, "post");
        let mut fields: Vec<(&str, &str)> =
            form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        fields.push(button);
        let request = Request::post_form(&form.action, &fields)
            .with("Origin", &format!("http://{authority}"))
            .with("Sec-Fetch-Site", "same-origin");
        self.load(authority, request)
    }

    fn load(&mut self, authority: &str, request: Request) -> Answer {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if pairs.is_empty() { request } else { request.with("Cookie", &pairs.join("; ")) };
        let answer = request.send(authority).expect("the page loads");
        for cookie in answer.fields("set-cookie") {
            self.keep(cookie);
        }
        answer
    }

    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').expect("a cookie has a name");
        self.cookies.retain(|(other, _)| other != name);
        let ended = attributes.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
        if !ended {
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Every cookie's value: secrets that must not be logged.
    pub(crate) fn cookie_values(&self) -> Vec<String> {
        self.cookies.iter().map(|(_, value)| value.clone()).collect()
    }
}

/// A form of a page.
#[derive(Debug)]
struct Form {
    method: String,
    action: String,
    /// Fields that are sent in any case: hidden fields, and preselected choices.
    fields: Vec<(String, String)>,
    buttons: Vec<(String, String)>,
}

/// The forms of `page`, in the interpretation of a browser.
fn forms(page: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    for part in page.split("<form").skip(1) {
        let body = part.split("</form>").next().unwrap_or_default();
        let tags = |element| body.split(element).skip(1);
        let pair = |tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()));
        let is_sent = |tag: &&str| match attribute(tag, "type").as_deref() {
            Some("hidden") => true,
            Some("radio") => tag.split('>').next().is_some_and(|tag| tag.ends_with(" checked")),
            _ => false,
        };
        forms.push(Form {
            method: attribute(part, "method").unwrap_or_default().to_lowercase(),
            action: attribute(part, "action").expect("our forms say where they go"),
            fields: tags("<input").filter(is_sent).filter_map(pair).collect(),
            buttons: tags("<button").filter_map(pair).collect(),
        });
    }
    forms
}

/// The value of an attribute of the tag whose rest begins `text`, with its entities replaced.
fn attribute(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>')?;
        let (found, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=') else {
            // An attribute without a value, or the end of the tag.
            rest = after.strip_prefix(char::is_whitespace)?;
            continue;
        };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote)?,
            None => value.split_at(value.find(|c: char| c.is_whitespace() || c == '>')?),
        };
        if found == name {
            let entities = [
                ("&lt;", "<"),
                ("&gt;", ">"),
                ("&quot;", "\""),
                ("&#39;", "'"),
                ("&#x27;", "'"),
                ("&amp;", "&"),
            ];
            return Some(entities.iter().fold(value.to_owned(), |text, (entity, c)| text.replace(entity, c)));
        }
        rest = after;
    }
}

#[test]
fn forms_are_read_in_every_spelling_of_attributes() {
    let page = "<form method=post action=\"/a?x=1&amp;y\" class='b'><input type=hidden name=p value=\"&lt;1&gt;\">\
                <input type=radio name=q value=a checked><input type=radio name=q value=b>\
                <button class=go name=decision value=approve>Yes</button><button>No</button></form>";
    let forms = forms(page);
    let form = &forms[0];
    assert_eq!((form.method.as_str(), form.action.as_str()), ("post", "/a?x=1&y"));
    assert_eq!(form.fields, [("p", "<1>"), ("q", "a")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(form.buttons, [("decision".to_owned(), "approve".to_owned())]);
}
