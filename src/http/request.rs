//! A request as the application sees it: already framed, limited and checked by the door it came through.

use std::net::IpAddr;

/// A request method. Case-sensitive (RFC 9110 section 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Any other token; nothing here serves it.
    Other(Box<str>),
}

impl Method {
    /// The method of a request line's first token.
    pub fn from_token(token: &str) -> Method {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            other => Method::Other(other.into()),
        }
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other(token) => token,
        }
    }
}

/// A header field that may stand once stood twice (H11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate;

/// Header fields in the order they came, names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Every name and value, one after the other.
    text: String,
    /// Where in `text` a name starts, its value starts, and the value ends.
    fields: Vec<(usize, usize, usize)>,
}

impl Headers {
    /// Room for this many fields, and bytes of names and values.
    pub fn with_capacity(fields: usize, bytes: usize) -> Headers {
        Headers { text: String::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    /// Adds a field. A door calls this with a name that is a token and a value without CR, LF or NUL.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        self.text.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        let middle = self.text.len();
        self.text.push_str(value);
        self.fields.push((start, middle, self.text.len()));
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|&(start, middle, end)| {
            Some((self.text.get(start..middle)?, self.text.get(middle..end)?))
        })
    }

    /// The values of every field called `name`, which is in lower case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let is_called = move |field: &&(usize, usize, usize)| {
            self.text.as_bytes().get(field.0..field.1) == Some(name.as_bytes())
        };
        self.fields.iter().filter(is_called).filter_map(|&(_, middle, end)| self.text.get(middle..end))
    }

    /// The value of the one field called `name`, if there is one.
    ///
    /// # Errors
    /// [`Duplicate`] if there are two.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Duplicate> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Duplicate) } else { Ok(first) }
    }
}

/// Everything of a request but its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The raw path, exactly as sent: never decoded, never normalised (H8).
    pub path: Box<str>,
    /// The raw query, without its question mark; `None` if there was no question mark.
    pub query: Option<Box<str>>,
    /// The header fields.
    pub headers: Headers,
    /// The address of the other end, `None` on a Unix socket; after `App::admit` that of the client, if a trusted proxy names it. For
    /// limits, the log and the addresses of service tokens.
    pub peer: Option<IpAddr>,
}

impl Head {
    /// Whether a body longer than `bytes` may follow: it is announced, or its length is not.
    pub fn may_exceed(&self, bytes: usize) -> bool {
        let announced = self.headers.one("content-length").ok().flatten().map(str::parse::<usize>);
        match announced {
            Some(Ok(length)) => length > bytes,
            Some(Err(_)) => true,
            None => self.headers.all("transfer-encoding").next().is_some(),
        }
    }

    /// Whether the body is of this media type, in any case and with any parameters.
    ///
    /// # Errors
    /// [`Duplicate`] if there are two Content-Type fields.
    pub fn is_of_type(&self, media_type: &str) -> Result<bool, Duplicate> {
        let value = self.headers.one("content-type")?;
        let essence = value.and_then(|value| value.split(';').next());
        Ok(essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(media_type)))
    }
}

/// A whole request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Everything but the body.
    pub head: Head,
    /// The body, decoded from any chunks. Empty if there was none.
    pub body: Vec<u8>,
}

/// Builds requests as a door would.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// A request to `target` without fields or body, from 127.0.0.1.
    pub(crate) fn request(method: &str, target: &str) -> Request {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.into())),
            None => (target, None),
        };
        let head = Head {
            method: Method::from_token(method),
            path: path.into(),
            query,
            headers: Headers::default(),
            peer: Some(IpAddr::from([127, 0, 0, 1])),
        };
        Request { head, body: Vec::new() }
    }

    impl Request {
        /// Adds a header field.
        pub(crate) fn with(mut self, name: &str, value: &str) -> Request {
            self.head.headers.push(name, value);
            self
        }

        /// Sets the body.
        pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
            self.body = body.into();
            self
        }
    }
}

#[cfg(test)]
mod tests;
