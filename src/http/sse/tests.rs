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
