use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMIT: usize = 1 << 20;

fn parse(text: &str) -> Document {
    Document::parse(text.as_bytes(), LIMIT).unwrap()
}

fn error(text: &[u8]) -> String {
    Document::parse(text, LIMIT).unwrap_err().to_string()
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app.kubernetes.io/name: web}
spec:
  containers:
  - name: web
    image: nginx
    imagePullPolcy: Always
    ports:
    - containerPort: 80
    resources:
      limits: {cpu: 1, memory: 1Gi}
  volumes:
  - name: c
    downwardAPI:
      defaultMode: 0644
";

#[test]
fn decodes_a_pod_and_reports_what_it_does_not_know() {
    let document = parse(POD);
    let decoded = document.decode::<Pod>().unwrap();
    let spec = decoded.value.spec.unwrap();
    let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!(limits["cpu"].0, "1");
    assert_eq!(limits["memory"].0, "1Gi");
    let mode = spec.volumes.unwrap()[0].downward_api.as_ref().unwrap().default_mode;
    assert_eq!(mode, Some(0o644));

    let [unknown] = decoded.unknown.as_slice() else { panic!("{:?}", decoded.unknown) };
    assert_eq!(unknown.path.to_string(), "spec.containers[0].imagePullPolcy");
    assert_eq!(unknown.location.to_string(), "10:5");
    assert_eq!(unknown.hint, Some("imagePullPolicy"));
}

#[test]
fn json_and_yaml_agree() {
    let text = serde_json::to_string_pretty(parse(POD).value()).unwrap();
    let document = parse(&text);
    assert_eq!(document.format(), Format::Json);
    assert_eq!(document.value(), parse(POD).value());
    assert_eq!(document.decode::<Pod>().unwrap().value, parse(POD).decode::<Pod>().unwrap().value);
    assert_eq!(document.location("metadata.name").unwrap().to_string(), "5:5");
}

#[test]
fn locations() {
    let document = parse(POD);
    for (path, expected) in [
        ("spec.containers[0].image", Some("9:5")),
        ("spec.containers[0]", Some("8:5")),
        ("spec.containers[1]", None),
        ("metadata.labels[app.kubernetes.io/name]", Some("5:12")),
        ("metadata.nothing", None),
        ("", Some("1:1")),
    ] {
        assert_eq!(document.location(path).map(|at| at.to_string()).as_deref(), expected, "{path}");
    }
    assert_eq!(document.nearest_location("spec.containers[0].command[0]").to_string(), "8:5");
}

#[test]
fn type_errors_have_path_and_place() {
    for (from, to, expected) in [
        ("image: nginx", "image: 80", "9:12: spec.containers[0].image: invalid type: integer `80`"),
        (
            "name: web\n    image",
            "name: yes\n    image",
            "8:11: spec.containers[0].name: invalid type: boolean",
        ),
        (
            "containerPort: 80",
            "containerPort: eighty",
            "12:22: spec.containers[0].ports[0].containerPort: invalid type: string",
        ),
        ("  - name: web", "  - web", "8:5: spec.containers[0]"),
    ] {
        let text = POD.replacen(from, to, 1);
        let error = match Document::parse(text.as_bytes(), LIMIT) {
            Ok(document) => document.decode::<Pod>().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.starts_with(expected) || to.contains("- web"), "{error}");
    }
}

#[test]
fn null_is_no_value_of_a_known_field() {
    let decoded = parse("spec: {hostNetwork: null, containers: null, bad: null}").decode::<Pod>().unwrap();
    assert_eq!(decoded.value.spec.unwrap().host_network, None);
    assert_eq!(decoded.unknown[0].path.to_string(), "spec.bad");
    let pod = parse("metadata: {labels: {a: null}}").decode::<Pod>().unwrap().value;
    assert_eq!(pod.metadata.labels.unwrap()["a"], "");
}

#[test]
fn a_part_decodes_with_its_whole_path() {
    let document = parse("items:\n- a: 1\n- a: x\n");
    let path = |index| Path::default().key("items").index(index);
    assert_eq!(document.decode_at::<BTreeMap<String, i32>>(&path(0)).unwrap().value["a"], 1);
    let error = document.decode_at::<BTreeMap<String, i32>>(&path(1)).unwrap_err();
    assert!(error.to_string().starts_with("3:6: items[1].a: invalid type"), "{error}");
    let error = document.decode_at::<Value>(&path(2)).unwrap_err();
    assert_eq!(error.to_string(), "1:1: items[2]: the field is missing");
}

#[test]
fn duplicates_are_found_and_the_last_wins() {
    for text in ["a: 1\nb: {c: 1, c: 2}\na: 3\n", "{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2},\n\"a\": 3}"] {
        let document = parse(text);
        assert_eq!(document.value(), &json!({"a": 3, "b": {"c": 2}}));
        let paths: Vec<String> = document.duplicates().iter().map(|d| d.path.to_string()).collect();
        assert_eq!(paths, ["b.c", "a"]);
    }
    let document = parse("a: 1\na: 3\n");
    assert_eq!(document.duplicates()[0].first.to_string(), "1:1");
    assert_eq!(document.duplicates()[0].again.to_string(), "2:1");
}

#[test]
fn yaml_habits() {
    let text =
        "on: 1\n1: x\nquoted: \"yes\"\ntag: !!str 5\nbase: &base {a: 1, b: 2}\nmerged: {<<: *base, a: 3}\n";
    assert_eq!(
        parse(text).value(),
        &json!({
            "true": 1, "1": "x", "quoted": "yes", "tag": "5", "base": {"a": 1, "b": 2}, "merged": {"a": 3, "b": 2}
        })
    );
    assert_eq!(parse("---\n# nothing\n---\na: 1\n---\n").value(), &json!({"a": 1}));
    assert_eq!(parse("\u{feff}a: 1").value(), &json!({"a": 1}));
}

#[test]
fn refused() {
    for (text, expected) in [
        ("", "the document is empty"),
        ("# only a comment\n", "the document is empty"),
        ("a: 1\n---\nb: 2\n", "3:1: a second document"),
        ("{\"a\": 1,}", "1:9: key must be a string"),
        ("{\"a\": 1\n\"b\": 2}", "2:1: expected `,` or `}`"),
        ("{\"a\": 1} x", "1:10: trailing characters"),
        ("{a: 1}", "1:2: key must be a string"),
        ("a: .inf", "1:4: a: infinity"),
        ("a: *nothing", "1:4"),
        ("a: &x [*x]", "1:8: a[0]: the alias"),
        ("? [a]\n: b\n", "1:3: a key must be"),
        ("a: b: c", "1:5"),
        ("a:\n\t- b", "2:2: tabs"),
    ] {
        let error = error(text.as_bytes());
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    assert_eq!(error(b"a: 1\nb: \xff"), "2:4: not UTF-8 text");
    assert_eq!(Document::parse(b"a: 1", 3).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn bombs_are_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let previous = level - 1;
        let aliases = vec![format!("*a{previous}"); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let quadratic = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 20_000].join(","));
    let deep_json = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_yaml = "[".repeat(100_000);
    let deep_block = "- ".repeat(5000);
    for text in [bomb, quadratic, deep_json, deep_yaml, deep_block] {
        let error = Document::parse(text.as_bytes(), LIMIT).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooComplex, "{error}");
    }
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(2_000_000));
    assert_eq!(Document::parse(many.as_bytes(), 10 << 20).unwrap_err().kind, ErrorKind::TooComplex);
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    #[test]
    fn anything_that_looks_like_yaml(text in "[-a0 :\\[\\]{},&*!|>'\"#\n\t<?%.~y\\\\é]{0,80}") {
        fuzz(text.as_bytes());
    }

    #[test]
    fn anything_that_looks_like_json(text in "\\{[\"ab01 :\\[\\]{},\n\\\\e.u-]{0,60}") {
        fuzz(text.as_bytes());
    }

    #[test]
    fn yaml_reads_what_json_writes(map in prop::collection::btree_map("[a-z]{1,5}", "\\PC{0,20}", 1..5)) {
        let json = serde_json::to_string(&map).unwrap();
        prop_assert_eq!(parse(&json).decode::<BTreeMap<String, String>>().unwrap().value, map);
    }
}
