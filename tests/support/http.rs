//! A small HTTP/1.1 client with one connection per request: no redirects, no cookies, and access to the raw answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// The time without data after which a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A request: method, target, fields, body.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(target: &str) -> Request {
        Request { method: "GET", target: target.to_owned(), fields: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn delete(target: &str) -> Request {
        Request { method: "DELETE", ..Request::get(target) }
    }

    pub(crate) fn post_form(target: &str, form: &[(&str, &str)]) -> Request {
        let body = encode(form).into_bytes();
        Request { method: "POST", body, ..Request::get(target) }
            .with("Content-Type", "application/x-www-form-urlencoded")
    }

    pub(crate) fn post_json(target: &str, body: &Value) -> Request {
        let body = body.to_string().into_bytes();
        Request { method: "POST", body, ..Request::get(target) }.with("Content-Type", "application/json")
    }

    /// This request, with another target.
    pub(crate) fn at(self, target: &str) -> Request {
        Request { target: target.to_owned(), ..self }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request with one text in its body replaced by another.
    pub(crate) fn replacing(self, text: &str, by: &str) -> Request {
        let body = String::from_utf8(self.body).unwrap().replace(text, by).into_bytes();
        Request { body, ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Request {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// Sends the request to `authority` and reads the whole answer.
    pub(crate) fn send(&self, authority: &str) -> io::Result<Answer> {
        self.open(authority)?.finish()
    }

    /// Sends the request to `authority` and reads the head of the answer.
    pub(crate) fn open(&self, authority: &str) -> io::Result<Reading> {
        let stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        self.over(stream, authority)
    }

    /// Sends the request on an existing connection.
    pub(crate) fn over<S: Read + Write + 'static>(&self, mut stream: S, host: &str) -> io::Result<Reading> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method == "POST" {
            bytes.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        bytes.push_str("\r\n");
        stream.write_all(&[bytes.as_bytes(), &self.body].concat())?;
        Reading::start(Box::new(BufReader::new(stream)))
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// The only field called `name`; fails the test if there are two.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() < 2, "two {name} fields: {values:?}");
        values.first().copied()
    }

    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless this is the status.
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(
            self.status,
            status,
            "{} {}",
            self.field("location").unwrap_or_default(),
            String::from_utf8_lossy(&self.body)
        );
        self
    }
}

/// An answer whose head has been read, but not its body.
pub(crate) struct Reading {
    head: Answer,
    rest: Box<dyn BufRead>,
    length: Length,
}

enum Length {
    Known(u64),
    Chunked,
    ToTheEnd,
}

impl Reading {
    fn start(mut rest: Box<dyn BufRead>) -> io::Result<Reading> {
        let status_line = line(&mut rest)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {status_line:?}")))?;
        let mut fields = Vec::new();
        loop {
            let field = line(&mut rest)?;
            let Some((name, value)) = field.split_once(':') else { break };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let head = Answer { status, fields, body: Vec::new() };
        let length = match (head.field("transfer-encoding"), head.field("content-length")) {
            (Some("chunked"), None) => Length::Chunked,
            (None, Some(length)) => Length::Known(length.parse().map_err(io::Error::other)?),
            (None, None) if status == 204 => Length::Known(0),
            (None, None) => Length::ToTheEnd,
            other => return Err(io::Error::other(format!("framing {other:?}"))),
        };
        Ok(Reading { head, rest, length })
    }

    pub(crate) fn head(&self) -> &Answer {
        &self.head
    }

    /// Reads the rest of the body.
    pub(crate) fn finish(mut self) -> io::Result<Answer> {
        match self.length {
            Length::Known(length) => {
                (&mut self.rest).take(length).read_to_end(&mut self.head.body)?;
                if self.head.body.len() as u64 != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Length::ToTheEnd => {
                self.rest.read_to_end(&mut self.head.body)?;
            }
            Length::Chunked => {
                while let Some(chunk) = self.chunk()? {
                    self.head.body.extend(chunk);
                }
            }
        }
        Ok(self.head)
    }

    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = line(&mut self.rest)?;
        let size =
            u64::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("chunk size {size:?}")))?;
        let mut chunk = Vec::new();
        (&mut self.rest).take(size).read_to_end(&mut chunk)?;
        line(&mut self.rest)?;
        Ok((size > 0).then_some(chunk))
    }

    /// The messages of a stream of server-sent events, in order of arrival, until the stream ends.
    pub(crate) fn messages(self) -> Messages {
        assert_eq!(self.head.field("content-type"), Some("text/event-stream"));
        Messages { reading: self, text: String::new() }
    }
}

/// The JSON messages of an event stream. Comments and priming events are skipped.
pub(crate) struct Messages {
    reading: Reading,
    text: String,
}

impl Iterator for Messages {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                let message = serde_json::from_str(&data.concat()).ok();
                self.text = rest.to_owned();
                if message.is_some() {
                    return message;
                }
                continue;
            }
            let chunk = self.reading.chunk().expect("the stream ends with its last chunk")?;
            self.text.push_str(&String::from_utf8(chunk).expect("events are UTF-8"));
        }
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the line {line:?} has no end"))),
    }
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn encode(form: &[(&str, &str)]) -> String {
    let encode = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    form.iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The parameters of a query or form.
pub(crate) fn decode(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8()
            .expect("parameters are UTF-8")
            .into_owned()
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

/// The only parameter called `name` of a URL's query.
pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut values =
        decode(query).into_iter().filter(|(parameter, _)| parameter == name).map(|(_, value)| value);
    let first = values.next();
    assert!(values.next().is_none(), "two {name} in {url}");
    first
}

/// Splits `http://authority/target`.
pub(crate) fn split_url(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not an http URL: {url}"));
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}
