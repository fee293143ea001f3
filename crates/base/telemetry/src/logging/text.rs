//! klog's text: `I0102 15:04:05.000000    4242 plan.rs:17] "Message" pod="default/web" attempt=2`.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use tracing::Level;

use super::line::{Line, Value};

/// Appends `line` with its line feed. Times are those of `zone`. Whatever the values hold, it stays one line.
pub(super) fn write(out: &mut String, line: &Line<'_>, zone: &TimeZone, pid: u32) {
    let severity = match line.level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        _ => 'I',
    };
    let at = zone.to_datetime(line.at);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{severity}{:02}{:02} {:02}:{:02}:{:02}.{:06} {pid:7} {}:{}] ",
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.subsec_nanosecond() / 1000,
        line.file,
        line.line,
    );
    quote(out, &line.message);
    for (name, value) in &line.fields {
        let _ = write!(out, " {name}=");
        match value {
            Value::Text(text) => quote(out, text),
            Value::Bool(value) => _ = write!(out, "{value}"),
            Value::Int(value) => _ = write!(out, "{value}"),
            Value::Float(value) => _ = write!(out, "{value}"),
        }
    }
    out.push('\n');
}

/// Quotes as Go's `%q` does: what cannot be seen is escaped, so that no value can forge a line or hide in one.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\'' | ' '..='~' => out.push(c),
            c if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c if c.escape_debug().len() == 1 => out.push(c),
            c if u32::from(c) < 0x1_0000 => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => _ = write!(out, "\\U{:08x}", u32::from(c)),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn text(level: Level, message: &str, fields: Vec<(&'static str, Value)>) -> String {
        let line = Line {
            at: Timestamp::new(1_767_366_245, 6_007_999).unwrap(),
            level,
            verbosity: 0,
            krate: "sync",
            file: "plan.rs",
            line: 17,
            message: message.to_owned(),
            fields,
        };
        let mut out = String::new();
        write(&mut out, &line, &TimeZone::UTC, 4242);
        out
    }

    #[test]
    fn lines() {
        let fields = vec![
            ("pod", Value::Text("default/web".into())),
            ("attempt", Value::Int(2)),
            ("ratio", Value::Float(0.5)),
            ("ready", Value::Bool(false)),
        ];
        expect![[r#"
            I0102 15:04:05.006007    4242 plan.rs:17] "Started container" pod="default/web" attempt=2 ratio=0.5 ready=false
        "#]]
        .assert_eq(&text(Level::DEBUG, "Started container", fields));
        let fields = vec![("err", Value::Text("a \"b\"\n\\c\u{202e}é\x01".into()))];
        expect![[r#"
            E0102 15:04:05.006007    4242 plan.rs:17] "Failed" err="a \"b\"\n\\c\u202eé\x01"
        "#]]
        .assert_eq(&text(Level::ERROR, "Failed", fields));
        assert!(text(Level::WARN, "", vec![]).starts_with("W0102 "));
    }

    proptest! {
        #[test]
        fn values_cannot_forge_lines(value in any::<String>()) {
            let line = text(Level::INFO, &value, vec![("value", Value::Text(value.clone()))]);
            prop_assert_eq!(line.lines().count(), 1);
            prop_assert!(line.trim_end_matches('\n').chars().all(|c| !c.is_control()));
        }
    }
}
