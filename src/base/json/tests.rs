use super::*;

fn assert_fine(text: &str, expected: bool) {
    assert_eq!(check(text, 6, |name| name == "secret").is_ok(), expected, "{text}");
}

#[test]
fn depth_and_values_are_counted_to_the_limit() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!("{}[]{}", open.repeat(depth - 1), close.repeat(depth - 1));
        let is_fine = |depth| check(&nested(depth), usize::MAX, |_| false).is_ok();
        assert_eq!([limits::JSON_DEPTH, limits::JSON_DEPTH + 1].map(is_fine), [true, false], "{open}");
    }
    assert_fine("[1,2,3,4,5]", true);
    assert_fine("[1,2,3,4,5,6]", false);
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // compared by their Debug
struct Outer<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    inner: Option<Vec<Inner>>,
    any: Option<Any>,
    big: Option<u128>,
    #[serde(borrow)]
    raw: Option<&'a serde_json::value::RawValue>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // compared by their Debug
struct Inner {
    one: Option<f32>,
    pair: Option<(u8, i64)>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)] // compared by their Debug
struct Any(serde_json::Value);

#[test]
fn a_struct_is_read_from_an_object_at_every_depth() {
    let text = r#"{"name":"a\n","inner":[{"one":1},{"pair":[1,-2]},{}],"any":[null,true,[]],"big":36893488147419103232,
        "raw":["x"],"other":[{}]}"#;
    let value: Outer<'_> = read(text).unwrap();
    let expected: Outer<'_> = serde_json::from_str(text).unwrap();
    assert_eq!(format!("{value:?}"), format!("{expected:?}"), "as serde reads it");
    assert_eq!(value.raw.unwrap().get(), r#"["x"]"#);
    for positions in [
        r#"["a",null,null,null,null]"#,
        r#"{"name":"a","inner":[[1,[1,2]]]}"#,
        r#"{"name":"a","inner":[[]]}"#,
    ] {
        assert!(read::<Outer<'_>>(positions).is_err(), "{positions}");
    }
    assert!(read::<Inner>("{} {}").is_err());
}

#[test]
fn duplicate_names_are_refused_even_if_escaped() {
    assert_fine(r#"{"a":1,"b":{"a":2}}"#, true);
    assert_fine(r#"{"a":1,"a":2}"#, false);
    assert_fine(r#"{"a":1,"\u0061":2}"#, false);
    assert_fine(r#"[{"b":1,"b":1}]"#, false);
}

#[test]
fn a_forbidden_name_is_forbidden_at_the_top_only() {
    assert_fine(r#"{"secret":1}"#, false);
    assert_fine(r#"{"a":{"secret":1}}"#, true);
}

/// serde_json parses the text in such a member, which no check has covered: it may be deep, large, with repeated names.
#[test]
fn private_member_names_of_serde_json_are_refused_at_every_depth() {
    for name in [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "$serde_json::private::",
        r"\u0024serde_json::private::RawValue",
        r"$serde\u005fjson::private\u003a:Number",
    ] {
        assert_fine(&format!(r#"{{"{name}":"[]"}}"#), false);
        assert_fine(&format!(r#"[{{"a":1,"{name}":"[]"}}]"#), false);
        assert_fine(&format!(r#"{{"a":[{{"{name}":"{{\"b\":1,\"b\":2}}"}}]}}"#), false);
    }
    assert_fine(r#"{"a":"$serde_json::private::RawValue"}"#, true);
    assert_fine(r#"{"serde_json::private::RawValue":"[]","$schema":"x"}"#, true);
}

#[test]
fn text_that_is_not_exactly_one_json_value_is_refused() {
    for bad in ["", "{", "{} {}", "[1,]", "NaN", "1e999", r#""\ud800""#, "{'a':1}"] {
        assert_fine(bad, false);
    }
}

#[test]
fn an_array_has_a_limit() {
    let length = |text: &str| read::<AtMost<u8, 3>>(text).map(|array| array.0.len()).ok();
    assert_eq!(["[]", "[1,2,3]", "[1,2,3,4]", "{}"].map(length), [Some(0), Some(3), None, None]);
}
