//! The parts of a client's metadata that are kept.

use super::*;

fn check(name: &str, expected: &str) {
    assert_eq!(presentable(name).as_deref().unwrap_or_default(), expected, "{name:?}");
}

/// C7: a name that shows what it is stays as it is.
#[test]
fn a_name_of_visible_characters_is_unchanged() {
    for fine in
        ["Claude", "Курсор", "日本語 クライアント", "a'<b>&amp;\"\\", "Ünïcödé ✓", "e\u{301}", "नमस्ते", "🤖"]
    {
        check(fine, fine);
    }
    let longest = "ü".repeat(limits::CLIENT_NAME_CHARS);
    check(&longest, &longest);
}

/// C7: what could disguise the consent page is taken out, and a name that is too long is cut.
#[test]
fn a_name_is_cleaned_and_cut() {
    check("Claude\n", "Claude");
    check(" a \t\r\n b\u{2028}c\u{3000}d\u{a0}", "a b c d");
    check("Soft\u{ad}Hyphen", "SoftHyphen");
    check("👩\u{200d}💻 App", "👩💻 App");
    check("❤\u{fe0f}", "❤");
    check("a\u{202e}b\u{2066}c\0d\u{7f}", "abcd");
    check("a\u{e000}\u{fffe}\u{10ffff}\u{feff}\u{e0041}\u{e0100}b", "ab");
    check(&"ü".repeat(limits::CLIENT_NAME_CHARS + 1), &"ü".repeat(limits::CLIENT_NAME_CHARS));
    check(
        &format!("{} tail", "a".repeat(limits::CLIENT_NAME_CHARS - 1)),
        &"a".repeat(limits::CLIENT_NAME_CHARS - 1),
    );
    for nothing in ["", " ", "\u{200b}", " \u{ad}\n", "\u{34f}\u{17b4}"] {
        check(nothing, "");
    }
}

/// C7: the whole of Default_Ignorable_Code_Point (Unicode 17.0), and what no version assigns.
#[test]
fn ignorable_and_unassigned_characters_are_not_visible() {
    let ignorable = [
        0xad..=0xad,
        0x34f..=0x34f,
        0x61c..=0x61c,
        0x115f..=0x1160,
        0x17b4..=0x17b5,
        0x180b..=0x180f,
        0x200b..=0x200f,
        0x202a..=0x202e,
        0x2060..=0x206f,
        0x3164..=0x3164,
        0xfe00..=0xfe0f,
        0xfeff..=0xfeff,
        0xffa0..=0xffa0,
        0xfff0..=0xfff8,
        0x1bca0..=0x1bca3,
        0x1d173..=0x1d17a,
        0xe0000..=0xe0fff,
    ];
    // Unassigned in Unicode 17.0: gaps in Greek, Armenian, Hebrew and Tamil, the ends of blocks, planes 4 to 13; then
    // noncharacters and private use.
    let unassigned = [
        0x378..=0x379,
        0x380..=0x383,
        0x38b..=0x38b,
        0x530..=0x530,
        0x5c8..=0x5cf,
        0xb84..=0xb84,
        0x2fe0..=0x2fef,
        0x40000..=0x40100,
        0xdff00..=0xdffff,
        0xfdd0..=0xfdef,
        0x1fffe..=0x1ffff,
        0xe000..=0xf8ff,
        0xf0000..=0xf0100,
    ];
    for code in ignorable.into_iter().chain(unassigned).flatten() {
        assert!(!is_visible(char::from_u32(code).unwrap()), "U+{code:04X}");
    }
}

/// D2: one URI that cannot be used does not cost the others; the first reason is told if none is left.
#[test]
fn usable_redirect_uris_are_kept() {
    let schemes = crate::oauth::RedirectSchemes::default();
    let check = |texts: &[&str], expected: Result<&[&str], &'static str>| {
        let texts = texts.iter().map(|text| Some((*text).to_owned())).chain([None]).collect();
        let kept = usable(texts, Registrant::Anybody(&schemes));
        let kept = kept.as_ref().map(|uris| uris.iter().map(RedirectUri::as_str).collect::<Vec<_>>());
        assert_eq!(kept.map_err(|error| *error), expected.map(<[&str]>::to_vec));
    };
    check(&["myapp://cb", "https://a.example/cb", "javascript:x"], Ok(&["https://a.example/cb"]));
    check(
        &["https://b.example/", "https://a.example/", "https://b.example/"],
        Ok(&["https://b.example/", "https://a.example/"]),
    );
    let first = RedirectUri::parse("http://a.example/", Registrant::Anybody(&schemes)).unwrap_err();
    check(&["http://a.example/", "myapp://cb"], Err(first));
    check(&[], Err(NO_REDIRECT_URI));
}
