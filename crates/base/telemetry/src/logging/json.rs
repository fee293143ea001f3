//! The JSON format of Kubernetes components: one object a line, the time in milliseconds since 1970.

use serde_json::{Map, Value as Json};

use super::line::{Line, Value};

/// Appends `line` with its line feed.
pub(super) fn write(out: &mut String, line: &Line<'_>) {
    let mut object = Map::new();
    let millis = line.at.as_nanosecond() as f64 / 1e6;
    object.insert("ts".into(), millis.into());
    object.insert("caller".into(), format!("{}/{}:{}", line.krate, line.file, line.line).into());
    object.insert("msg".into(), line.message.as_str().into());
    // Errors have no verbosity.
    if !line.is_error() {
        object.insert("v".into(), line.verbosity.into());
    }
    for (name, value) in &line.fields {
        // A field that bears one of the names above must not take its place.
        object.entry(*name).or_insert_with(|| to_json(value));
    }
    out.push_str(&Json::Object(object).to_string());
    out.push('\n');
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => i64::try_from(*value)
            .map(Json::from)
            .or_else(|_| u64::try_from(*value).map(Json::from))
            .unwrap_or_else(|_| value.to_string().into()),
        // JSON has no NaN and no infinity.
        Value::Float(value) if !value.is_finite() => value.to_string().into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::Timestamp;
    use tracing::Level;

    use super::*;

    fn json(level: Level, fields: Vec<(&'static str, Value)>) -> String {
        let line = Line {
            at: Timestamp::new(1_767_366_245, 6_250_000).unwrap(),
            level,
            verbosity: 4,
            krate: "sync",
            file: "plan.rs",
            line: 17,
            message: "Said \"so\"\n".to_owned(),
            fields,
        };
        let mut out = String::new();
        write(&mut out, &line);
        out
    }

    #[test]
    fn lines() {
        let fields = vec![
            ("pod", Value::Text("default/web".into())),
            ("attempt", Value::Int(2)),
            ("huge", Value::Int(u64::MAX.into())),
            ("ready", Value::Bool(true)),
            ("ratio", Value::Float(f64::NAN)),
            ("msg", Value::Text("ignored".into())),
        ];
        expect![[r#"
            {"ts":1767366245006.25,"caller":"sync/plan.rs:17","msg":"Said \"so\"\n","v":4,"pod":"default/web","attempt":2,"huge":18446744073709551615,"ready":true,"ratio":"NaN"}
        "#]]
        .assert_eq(&json(Level::DEBUG, fields));
        expect![[r#"
            {"ts":1767366245006.25,"caller":"sync/plan.rs:17","msg":"Said \"so\"\n","err":"no such file"}
        "#]]
        .assert_eq(&json(Level::ERROR, vec![("err", Value::Text("no such file".into()))]));
    }
}
