//! Pages for operators that follow from the code: `docs/settings.md` and `docs/feature-gates.md`.
//!
//! A test fails when its page is not what the code says. `cargo xtask codegen` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod source;

use std::ffi::OsString;
use std::fmt::Write as _;

use config::check::DEPRECATED;
use config::flags::{FLAGS, REMOVED, Target};
use config::gates::{self, Stage};
use config::{Flags, KubeletConfiguration, Outcome, SETTLED, UNACTED};
use expect_test::expect_file;
use serde_json::Value;
use source::Source;

const DERIVED: &str = "<!-- Derived from the code by `cargo xtask codegen`: change the code. -->\n";

#[test]
fn settings_page_is_current() {
    expect_file!["../../../../../docs/settings.md"].assert_eq(&settings());
}

#[test]
fn feature_gates_page_is_current() {
    expect_file!["../../../../../docs/feature-gates.md"].assert_eq(&feature_gates());
}

fn settings() -> String {
    let mut page = format!(
        "{DERIVED}# Settings

Every field of `KubeletConfiguration` and every flag that berth takes. [configuration.md](configuration.md) says how files,
drop-ins and flags come together.

In the column *acted on*, *not yet* is read and validated, and nothing follows from it; *while loading* has its whole effect on
how the configuration is loaded, or has none in Kubernetes either.
"
    );
    fields(&mut page);
    flags(&mut page);
    page
}

fn fields(page: &mut String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.yaml");
    std::fs::write(&file, format!("apiVersion: {}\nkind: {}\n", config::API_VERSION, config::KIND)).unwrap();
    let defaults = load([OsString::from("--config"), file.into()]);
    let without_file = load([]);

    page.push_str("\n## Fields\n\n");
    row(page, ["Field", "Type", "Default", "Flag", "Acted on", "What it says"]);
    row(page, ["---"; 6]);
    let fields = Source::read().fields("KubeletConfiguration");
    for field in &fields {
        let flags =
            FLAGS.iter().filter(|flag| matches!(flag.target, Target::Field(path) if path == field.path));
        let flags: Vec<String> = flags.map(|flag| format!("`--{}`", flag.name)).collect();
        let help = match DEPRECATED.iter().find(|(name, _)| *name == field.path) {
            Some((_, why)) => format!("Deprecated: {why}."),
            None => field.help.clone(),
        };
        let default =
            if field.path.contains("[]") { String::new() } else { value(at(&defaults, &field.path)) };
        let acted = acted_on(&field.path);
        row(page, [&code(&field.path), &field.kind, &default, &flags.join(", "), acted, &help]);
    }

    page.push_str("\nWithout any configuration file, these defaults are others:\n\n");
    row(page, ["Field", "Default without a file"]);
    row(page, ["---"; 2]);
    for field in fields.iter().filter(|field| !field.path.contains("[]")) {
        let without = at(&without_file, &field.path);
        if without != at(&defaults, &field.path) {
            row(page, [&code(&field.path), &value(without)]);
        }
    }
}

fn flags(page: &mut String) {
    let defaults = serde_json::to_value(Flags::default()).unwrap();
    page.push_str("\n## Flags that are no field\n\n");
    row(page, ["Flag", "Value", "Default", "Acted on", "What it says"]);
    row(page, ["---"; 5]);
    for flag in FLAGS.iter().filter(|flag| flag.target == Target::Own) {
        let name = format!("--{}", flag.name);
        let deprecated = flag.deprecated.map(|instead| format!(" Deprecated: use {instead}."));
        let help = format!("{}.{}", flag.help, deprecated.unwrap_or_default());
        let default = value(defaults.get(flag.name));
        row(page, [&code(&name), &placeholder(flag.kind), &default, acted_on(&name), &help]);
    }

    page.push_str(
        "\n## Flags that set a field\n\nDeprecated ones are to be set in the configuration file.\n\n",
    );
    row(page, ["Flag", "Value", "Field", "Deprecated"]);
    row(page, ["---"; 4]);
    for flag in FLAGS {
        if let Target::Field(path) = flag.target {
            let deprecated = if flag.deprecated.is_some() { "yes" } else { "no" };
            let name = code(&format!("--{}", flag.name));
            row(page, [&name, &placeholder(flag.kind), &code(path), deprecated]);
        }
    }

    page.push_str("\n## Flags without effect\n\nThey are taken with a warning, so that a unit file that has one keeps working.\n\n");
    row(page, ["Flag", "What to use instead"]);
    row(page, ["---"; 2]);
    let nowhere = FLAGS.iter().filter(|flag| flag.target == Target::Nowhere);
    let nowhere = nowhere.map(|flag| (flag.name, flag.deprecated.unwrap_or_default()));
    for (name, instead) in nowhere.chain(REMOVED.iter().map(|flag| (flag.name, flag.instead))) {
        row(page, [&code(&format!("--{name}")), instead]);
    }
}

fn feature_gates() -> String {
    let mut page = format!(
        "{DERIVED}# Feature gates

Kubernetes 1.36's feature gates of a kubelet. A locked gate cannot be changed. `AllAlpha` and `AllBeta` switch all gates of a
stage that are not switched on their own. A gate that switches nothing yet is accepted; if it is set to other than its
default, `berth config check` and the log at the start name it.

"
    );
    row(&mut page, ["Gate", "Stage", "Default", "Locked", "Switches"]);
    row(&mut page, ["---"; 5]);
    let mut gates: Vec<_> = gates::ALL.iter().collect();
    gates.sort_by_key(|info| info.name);
    for info in gates {
        let stage = match info.stage {
            Stage::Alpha => "alpha",
            Stage::Beta => "beta",
            Stage::Ga => "GA",
            Stage::Deprecated => "deprecated",
        };
        let default = if info.default { "on" } else { "off" };
        let yes = |holds| if holds { "yes" } else { "no" };
        let switches = config::SWITCHES.contains(&info.gate);
        row(&mut page, [&code(info.name), stage, default, yes(info.locked), yes(switches)]);
    }
    page.push_str("\nGates of other components are taken, and have no effect:\n\n");
    for name in gates::ELSEWHERE {
        let _ = writeln!(page, "- `{name}`");
    }
    page
}

/// The effective configuration of these flags.
fn load<const N: usize>(args: [OsString; N]) -> Value {
    match config::load(args.into_iter()).unwrap() {
        Outcome::Run(loaded) => serde_json::to_value::<&KubeletConfiguration>(&loaded.config).unwrap(),
        Outcome::Request(_) => panic!("nothing was asked for"),
    }
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

fn acted_on(name: &str) -> &'static str {
    let is_in = |list: &[&str]| {
        list.iter().any(|entry| {
            name.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    if is_in(UNACTED) {
        "not yet"
    } else if is_in(SETTLED) {
        "while loading"
    } else {
        "yes"
    }
}

fn value(value: Option<&Value>) -> String {
    match value {
        None => "unset".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => code(text),
        Some(other) => code(&other.to_string()),
    }
}

fn placeholder(kind: config::flags::Kind) -> String {
    match kind.placeholder() {
        "" => "boolean".to_owned(),
        text => code(text),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn row<const N: usize>(page: &mut String, cells: [&str; N]) {
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}
