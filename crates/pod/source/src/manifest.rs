//! From the bytes of a manifest to pods that can run, or to what is wrong with it.

use document::{Decoded, Document, DocumentError, ErrorKind, Path};
use types::Pod;

use crate::identity::{Origin, identify};
use crate::problem::{Finding, Reason};

/// Longer manifests are not read.
pub(crate) const MAX_BYTES: usize = 10 << 20;

/// What a manifest says.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Its pods, ready to run.
    pub(crate) pods: Vec<Pod>,
    /// Problems; those of severity error are about pods that are not in `pods`.
    pub(crate) findings: Vec<Finding>,
}

impl Manifest {
    pub(crate) fn failed(finding: Finding) -> Self {
        Self { pods: Vec::new(), findings: vec![finding] }
    }
}

/// The manifest in a file: one Pod.
pub(crate) fn read_file(bytes: &[u8], origin: &Origin) -> Manifest {
    read(bytes, origin, false)
}

/// The manifest at a URL: one Pod or a list of pods.
pub(crate) fn read_answer(bytes: &[u8], origin: &Origin) -> Manifest {
    read(bytes, origin, true)
}

fn read(bytes: &[u8], origin: &Origin, lists: bool) -> Manifest {
    let document = match Document::parse(bytes, MAX_BYTES) {
        Ok(document) => document,
        Err(error) => return Manifest::failed(unreadable(error)),
    };
    let text = |field: &str| document.value().get(field).and_then(|value| value.as_str()).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let mut manifest = Manifest::default();
    for duplicate in document.duplicates() {
        let message =
            format!("{} is set already at {}; the last one counts", duplicate.path, duplicate.first);
        manifest.findings.push(Finding::warning(Reason::DuplicateKey, message).at(duplicate.again));
    }
    match (version, kind) {
        ("v1", "Pod") => add(&mut manifest, &document, &Path::default(), origin),
        ("v1", "PodList" | "List") if lists => {
            let count = document.value().get("items").and_then(|items| items.as_array()).map_or(0, Vec::len);
            for index in 0..count {
                add(&mut manifest, &document, &Path::default().key("items").index(index), origin);
            }
        }
        _ => {
            let wanted = if lists { "a Pod or PodList" } else { "one Pod" };
            let message = format!(
                "expected {wanted} (apiVersion: v1, kind: Pod), found apiVersion: {version:?}, kind: {kind:?}"
            );
            let finding = Finding::error(Reason::UnsupportedKind, message);
            manifest.findings.push(match document.location("kind") {
                Some(location) => finding.at(location),
                None => finding,
            });
        }
    }
    manifest
}

fn unreadable(error: DocumentError) -> Finding {
    let reason = match error.kind {
        ErrorKind::TooLarge => Reason::TooLarge,
        ErrorKind::Empty => Reason::Empty,
        _ => Reason::Malformed,
    };
    let message = match error.path.filter(|path| !path.is_empty()) {
        Some(path) => format!("{path}: {}", error.message),
        None => error.message,
    };
    let finding = Finding::error(reason, message);
    match error.location {
        Some(location) => finding.at(location),
        None => finding,
    }
}

/// Adds the pod at `path`, if it can run.
fn add(manifest: &mut Manifest, document: &Document, path: &Path, origin: &Origin) {
    let Decoded { value: mut pod, unknown } = match document.decode_at::<Pod>(path) {
        Ok(decoded) => decoded,
        Err(error) => return manifest.findings.push(unreadable(error)),
    };
    for field in unknown {
        let hint = field.hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
        let message = format!("{} is not a known field and has no effect{hint}", field.path);
        manifest.findings.push(Finding::warning(Reason::UnknownField, message).at(field.location));
    }
    identify(&mut pod, origin);
    schema::default_pod(&mut pod);
    let invalid = schema::validate_pod(&pod).into_iter().map(|error| (Reason::FailedValidation, error));
    let references = schema::api_references(&pod).into_iter().map(|error| (Reason::ApiReference, error));
    let errors: Vec<_> = invalid.chain(references).collect();
    if errors.is_empty() {
        manifest.pods.push(pod);
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    for (reason, error) in errors {
        let location = document.nearest_location(&format!("{prefix}{}", error.path));
        manifest.findings.push(Finding::error(reason, format!("{prefix}{error}")).at(location));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Severity;

    const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: a\n    image: b:1\n";

    fn read(text: &str) -> Manifest {
        read_file(text.as_bytes(), &Origin::file("/m/web.yaml", "node"))
    }

    fn lines(manifest: &Manifest) -> Vec<String> {
        let place = |finding: &Finding| finding.location.map(|at| at.to_string()).unwrap_or_default();
        manifest.findings.iter().map(|f| format!("{} {} {}", place(f), f.reason, f.message)).collect()
    }

    #[test]
    fn a_good_one() {
        let manifest = read(WEB);
        assert!(manifest.findings.is_empty());
        let pod = &manifest.pods[0];
        assert_eq!(pod.metadata.name.as_deref(), Some("web-node"));
        assert_eq!(types::pod::spec(pod).restart_policy.as_deref(), Some("Always"));
    }

    #[test]
    fn an_unknown_field_is_named_and_dropped() {
        let manifest = read(&WEB.replace("    image", "    imagePullPolcy: Never\n    image"));
        assert_eq!(manifest.pods.len(), 1);
        assert_eq!(manifest.findings[0].severity, Severity::Warning);
        let expected = "8:5 UnknownField spec.containers[0].imagePullPolcy is not a known field and has no effect; did you mean imagePullPolicy?";
        assert_eq!(lines(&manifest), [expected]);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for (text, expected) in [
            (
                WEB.replace("name: a", "name: A"),
                "7:5 FailedValidation spec.containers[0].name: Invalid value: \"A\"",
            ),
            (WEB.replace("image: b:1", "image: [b]"), "8:12 Malformed spec.containers[0].image: "),
            (WEB.replace("kind: Pod", "kind: Job"), "2:1 UnsupportedKind expected one Pod"),
            (
                WEB.replace("spec:\n", "spec:\n  serviceAccountName: x\n"),
                "6:3 APIReference spec.serviceAccountName: Forbidden",
            ),
            (String::new(), " Empty "),
            ("# nothing\n".to_owned(), " Empty "),
            ("a: [".to_owned(), "1:"),
        ] {
            let manifest = read(&text);
            assert!(manifest.pods.is_empty(), "{text}");
            assert!(lines(&manifest)[0].contains(expected.trim_start()), "{text}: {:?}", lines(&manifest));
        }
    }

    #[test]
    fn lists_are_for_urls() {
        let item = "{\"metadata\": {\"name\": \"a\"}, \"spec\": {\"containers\": [{\"name\": \"a\", \"image\": \"b:1\"}]}}";
        let bad = item.replace("\"name\": \"a\", \"image\"", "\"name\": \"\", \"image\"");
        let list = format!("{{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{item}, {bad}]}}");
        let answer = read_answer(list.as_bytes(), &Origin::url("http://x/", "node"));
        assert_eq!(answer.pods.len(), 1);
        assert_eq!(answer.findings.len(), 1);
        assert!(answer.findings[0].message.starts_with("items[1].spec.containers[0].name: Required value"));
        assert_eq!(read(&list).findings[0].reason, Reason::UnsupportedKind);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            crate::fuzz(&bytes);
        }
    }
}
