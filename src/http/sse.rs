//! Server-sent events (HTML, section 9.2): writing one event.

/// One event. Written as `event`, `id`, `retry`, `data`, in this order, each if present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// What kind of event it is; without it, a message. Must not contain CR or LF.
    pub name: Option<&'a str>,
    /// The event's id. Must not contain CR, LF or NUL; ours are made of base64url, digits and `-`.
    pub id: Option<&'a str>,
    /// How long the client is to wait before it connects again, in milliseconds.
    pub retry: Option<u64>,
    /// The data; each of its lines becomes one `data` field. `Some("")` is an event with empty data.
    pub data: Option<&'a str>,
}

impl Event<'_> {
    /// The event's bytes, the empty line included.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.map_or(0, str::len).saturating_add(64));
        let mut field = |name: &str, value: &str| {
            for part in [name, value, "\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        };
        if let Some(name) = self.name {
            field("event: ", name);
        }
        if let Some(id) = self.id {
            field("id: ", id);
        }
        if let Some(retry) = self.retry {
            field("retry: ", &retry.to_string());
        }
        // M9: a reader ends a line at CR, LF or CR LF; none of them may end up inside a field.
        for line in self.data.into_iter().flat_map(|data| data.split(['\r', '\n'])) {
            field("data: ", line);
        }
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_fields_and_an_empty_line() {
        let event = Event { id: Some("a-1"), retry: Some(500), data: Some("{}"), ..Event::default() };
        assert_eq!(event.encode(), b"id: a-1\nretry: 500\ndata: {}\n\n");
        assert_eq!(
            Event { name: Some("a"), data: Some("b"), ..Event::default() }.encode(),
            b"event: a\ndata: b\n\n"
        );
        assert_eq!(Event { data: Some(""), ..Event::default() }.encode(), b"data: \n\n");
    }

    /// M9: data cannot start a field of its own.
    #[test]
    fn line_ends_in_data_start_no_new_field() {
        let event = Event { data: Some("a\nid: 9\r\rretry: 1"), ..Event::default() };
        assert_eq!(event.encode(), b"data: a\ndata: id: 9\ndata: \ndata: retry: 1\n\n");
    }
}
