#[test]
fn markup_is_escaped() {
    assert_eq!(super::escape(r#"<a b="c" d='e'>&amp;"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;amp;");
}
