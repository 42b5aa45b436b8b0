use super::*;

/// P3: banners are tolerated, a flood is not; at the limit and one past it.
#[test]
fn text_on_standard_output_is_tolerated_up_to_a_rate() {
    let mut noise = Noise::new();
    assert!(!noise.is_flood(limits::bridge::NOISE.0));
    assert!(noise.is_flood(1));
    noise.log("test", Some(7));
}

#[test]
fn the_last_lines_of_standard_error_are_kept() {
    let mut errors = Errors::new(&[]);
    for line in ["1", "", "2 \r", "3"] {
        errors.take(line.as_bytes(), "test", Some(7));
    }
    assert_eq!(errors.last, ["1", "2", "3"]);
    for number in 4..=limits::bridge::LAST_LINES + 2 {
        errors.take(number.to_string().as_bytes(), "test", Some(7));
    }
    let last = &errors.last;
    assert_eq!((&*last[0], last.len()), ("3", limits::bridge::LAST_LINES));
    errors.take(b"\xff\x1b[31m", "test", None);
    assert_eq!(errors.last.back().unwrap(), "\u{fffd}\u{1b}[31m", "escaped by the log");
}

fn variable(name: &str, value: &str) -> (String, Secret<String>) {
    (name.to_owned(), Secret::new(value.to_owned()))
}

/// P3: a program that prints its environment does not get the person's token into the log.
#[test]
fn values_of_variables_are_hidden() {
    let mut errors = Errors::new(&[variable("TOKEN", "gho_0123456789"), variable("LEVEL", "info")]);
    errors.take(b"info: TOKEN=gho_0123456789 gho_0123456789;", "test", None);
    assert_eq!(errors.last, ["info: TOKEN=[TOKEN] [TOKEN];"]);
}

/// P3: a value of several lines is written line by line, or on one line in an encoding that escapes its line breaks.
#[test]
fn each_line_of_a_value_is_hidden() {
    let key = "-----BEGIN KEY-----\r\n  MIIEvQIBADAN  \nBgkqhkiG\nshort==\n";
    let mut errors = Errors::new(&[variable("KEY", key)]);
    key.lines().for_each(|line| errors.take(line.as_bytes(), "test", None));
    errors.take(key.replace('\n', "\\n").as_bytes(), "test", None);
    assert_eq!(
        errors.last.range(..4).collect::<Vec<_>>(),
        ["[KEY]", "  [KEY]", "[KEY]", "short=="],
        "shorter values may be words"
    );
    assert_eq!(errors.last[4], "[KEY]\r\\n  [KEY]  \\n[KEY]\\nshort==\\n");
}

/// P3: a value that contains another is hidden as a whole.
#[test]
fn a_value_within_another_does_not_hide_it_from_redaction() {
    let variables = [variable("BASE", "https://example"), variable("HOOK", "https://example/T0SECRET")];
    for variables in [variables.clone(), [variables[1].clone(), variables[0].clone()]] {
        let mut errors = Errors::new(&variables);
        errors.take(b"https://example/T0SECRET https://example/T0", "test", None);
        assert_eq!(errors.last, ["[HOOK] [BASE]/T0"]);
    }
}

/// P3: nor the start of a value at the cut of a long line, with any ending.
#[test]
fn a_line_that_is_cut_off_ends_with_no_part_of_a_value() {
    let value = "gho_01234567 gho_0123456789\u{e4}\u{e4}";
    // The start of the value is a value itself, whose name is longer.
    let variables = [variable("TOKEN", value), variable("A_VERY_LONG_NAME_OF_A_VARIABLE", &value[..12])];
    for part in 1..value.len() {
        let mut errors = Errors::new(&variables);
        let mut line = vec![b'x'; limits::bridge::ERROR_LINE_BYTES - part];
        line.extend(&value.as_bytes()[..part]);
        errors.take(&line, "test", None);
        let last = &errors.last[0];
        assert!(last.len() > 4000 && last.bytes().all(|b| b == b'x'), "{part}: {last}");
    }
}
