use super::*;

#[test]
fn a_network_is_written_as_it_was_read() {
    for text in ["10.0.0.0/8", "192.0.2.7", "0.0.0.0/0", "2001:db8::/32", "::1", "::/0"] {
        assert_eq!(Network::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Network::parse("10.0.0.7/32").unwrap().to_string(), "10.0.0.7");
    assert!(Network::parse("unix").unwrap_err().starts_with("write a comma list"));
    assert!(Network::parse("10.0.0.7/8").unwrap_err().contains("ends in zeros"));
    for text in ["::ffff:10.0.0.7", "::ffff:0:0/96"] {
        assert!(Network::parse(text).unwrap_err().contains("without ::ffff:"), "it would contain nobody");
    }
}
