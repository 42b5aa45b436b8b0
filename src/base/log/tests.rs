use std::sync::mpsc;

use super::*;
use crate::base::identity::fake::subject;

const FIELDS: [Field<'static>; 3] =
    [Field::User(subject(1)), Field::Login("octo \"cat\" ü"), Field::Status(200)];

#[test]
fn a_line_has_time_level_event_and_fields() {
    assert_eq!(
        line(Format::Human, Timestamp(0), ("info", "login.admitted"), &FIELDS, None),
        "1970-01-01T00:00:00Z info  login.admitted user=github:1 login=\"octo \\\"cat\\\" \\u{fc}\" status=200\n"
    );
}

/// L2: no value can break or forge a line.
#[test]
fn a_json_line_has_the_same_fields() {
    let text = line(Format::Json, Timestamp(0), ("info", "login.admitted"), &FIELDS, None);
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:00Z", "level": "info", "event": "login.admitted",
        "user": "github:1", "login": "octo \"cat\" ü", "status": 200,
    });
    assert!(read == expected && text.is_ascii() && text.ends_with("}\n"), "{text}");
}

/// L2: lines that are logged during a request have its id.
#[test]
fn a_line_names_the_request_it_was_written_for() {
    let trace =
        Trace { request: trace::RequestId([0xab; 6]), peer: Some([192, 0, 2, 1].into()), server: None };
    let about = ("warn", "login.failed");
    let text = line(Format::Human, Timestamp(0), about, &[], Some(trace.clone()));
    assert_eq!(text, "1970-01-01T00:00:00Z warn  login.failed request=abababababab peer=192.0.2.1\n");
    let text = line(Format::Json, Timestamp(0), about, &[], Some(Trace { peer: None, ..trace.clone() }));
    assert!(text.ends_with("\"event\":\"login.failed\",\"request\":\"abababababab\"}\n"), "{text}");
    let at_server = Trace { server: Some("files".into()), ..trace };
    for fields in [&[][..], &[Field::Server("files")]] {
        let text = line(Format::Human, Timestamp(0), about, fields, Some(at_server.clone()));
        assert!(text.contains(" server=files request=ab") && text.matches("server=").count() == 1, "{text}");
    }
}

/// L2: a flood of requests, of refreshes with one refresh token, or of failures of a program or peer does not displace the lines that
/// the operator needs.
#[test]
fn common_lines_leave_queue_space_for_other_events() {
    for event in [
        "request",
        "request.panicked",
        "panic",
        "client.registered",
        "client_document.not_found",
        "consent.given",
        "consent.denied",
        "token.issued",
        "github.token_lost",
        "github.unreachable",
        "program.stderr",
        "program.died",
        "upstream.failed",
    ] {
        assert!(room(event) < limits::LOG_LINES, "{event}");
    }
    for event in [
        "token.shared",
        "grant.ended",
        "login.admitted",
        "login.failed",
        "request.refused",
        "github.token_kept",
        "edge.connections_full",
        "edge.streams_full",
        "store.failed",
        "audit.failed",
    ] {
        assert_eq!(room(event), limits::LOG_LINES, "{event}");
    }
}

#[test]
fn a_strangers_value_cannot_forge_a_line() {
    let mut text = String::new();
    push_text(&mut text, Format::Human, "a\r\n2026 info \u{1b}[31m\u{202e}\"", VALUE_BYTES);
    assert_eq!(text, r#""a\r\n2026 info \u{1b}[31m\u{202e}\"""#);
    let mut text = String::new();
    push_text(&mut text, Format::Json, "a\r\n\u{1b}\u{202e}\"\u{1f600}", VALUE_BYTES);
    assert_eq!(text, r#""a\u000d\u000a\u001b\u202e\u0022\ud83d\ude00""#);
}

/// L2: values of unauthenticated clients are truncated.
#[test]
fn a_strangers_value_is_cut() {
    let mut text = String::new();
    push_text(&mut text, Format::Human, &"x".repeat(10_000), VALUE_BYTES);
    assert!(text.len() <= VALUE_BYTES + 8, "{}", text.len());
    let mut text = String::new();
    push_text(&mut text, Format::Json, &"\u{1f600}".repeat(10_000), VALUE_BYTES);
    assert!(text.len() <= VALUE_BYTES + 20, "{}", text.len());
}

#[test]
fn hints_and_errors_may_be_longer_than_values_from_requests() {
    let long = "x".repeat(500);
    let text = |field| line(Format::Human, Timestamp(0), ("warn", "a"), &[field], None);
    assert!(text(Field::Hint(&long)).contains(&long) && text(Field::Error(&long)).contains(&long));
    for field in [Field::Path(&long), Field::Detail(&long)] {
        assert!(text(field).len() < VALUE_BYTES + 60);
    }
}

/// A reader that accepts one write per message of `go_on`.
struct Slow {
    go_on: mpsc::Receiver<()>,
    read: mpsc::Sender<String>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.go_on.recv(); // an error counts as well: the test has dropped its end
        self.read.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// L2: a stalled reader loses lines, the unimportant ones first, and the log has their number; no caller waits.
#[test]
fn a_stalled_reader_costs_lines_and_no_time() {
    let ((go, go_on), (read, lines)) = (mpsc::channel(), mpsc::channel());
    let (mut queue, ended) = Queue::start(Slow { go_on, read }).unwrap();
    for number in 0..limits::LOG_LINES * 2 {
        queue.push(format!("info {number}\n"), limits::LOG_LINES / 4 * 3);
    }
    queue.push("error\n".to_owned(), limits::LOG_LINES);
    drop((go, queue));
    assert!(ended.recv_timeout(limits::LOG_PATIENCE * 30).is_err_and(|error| error.is_disconnected()));
    let written: String = lines.iter().collect();
    let written: Vec<&str> = written.split_inclusive('\n').collect();
    assert_eq!(written.iter().filter(|line| line.contains("log.dropped")).count(), 1, "{written:?}");
    let kept = written.iter().filter(|line| line.starts_with("info")).count();
    let room = limits::LOG_LINES / 4 * 3;
    // Lines that the writer had already taken when its reader stalled come on top.
    assert!((room..=room + limits::LOG_BATCH + 1).contains(&kept), "{kept}");
    let dropped = format!("count={} ", limits::LOG_LINES * 2 - kept);
    assert!(written.iter().any(|line| line.contains(&dropped)), "{dropped} {written:?}");
    assert_eq!(*written.last().unwrap(), "error\n");
}
