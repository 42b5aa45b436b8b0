use super::*;

fn trace(byte: u8) -> Trace {
    Trace { request: RequestId([byte; 6]), peer: None, server: None }
}

#[test]
fn a_trace_lasts_as_long_as_its_work_even_if_that_panics() {
    within(trace(0x1f), || {
        refused("outer");
        refused("later");
        let inner = std::panic::catch_unwind(|| {
            within(trace(2), || {
                assert_eq!((current(), notes().reason), (Some(trace(2)), None));
                refused("inner");
                panic!("on purpose");
            })
        });
        assert!(inner.is_err());
        assert_eq!((current(), notes().reason), (Some(trace(0x1f)), Some("outer")));
    });
    assert_eq!((current(), notes().reason), (None, None));
    assert_eq!(RequestId([0, 1, 0x1f, 0xff, 7, 8]).to_string(), "00011fff0708");
}
