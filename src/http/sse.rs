//! Server-sent events (HTML, section 9.2): writing one event.

/// One event. Written as `event`, `id`, `retry`, `data`, in this order, each if present.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The type of the event; without it, a message. Must not contain CR or LF.
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
mod tests;
