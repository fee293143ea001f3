//! From the bytes of a manifest to pods that can run, or to what is wrong with it.

use document::{Decoded, Document, DocumentError, ErrorKind, Path};
use schema::{Dropped, Feature};
use types::Pod;

use crate::identity::{Origin, identify};
use crate::problem::{Finding, Reason};

/// Longer manifests are not read.
pub(crate) const MAX_BYTES: usize = 10 << 20;

/// What feature gates say about manifests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// The features that are off.
    pub off: Vec<Feature>,
    /// Whether references to objects of the API server are taken (`PreventStaticPodAPIReferences` is off).
    pub api_references: bool,
}

/// Those of Kubernetes 1.36 where nothing is switched.
impl Default for Rules {
    fn default() -> Self {
        Self { off: vec![Feature::ContainerStopSignals], api_references: false }
    }
}

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
pub(crate) fn read_file(bytes: &[u8], origin: &Origin, rules: &Rules) -> Manifest {
    read(bytes, origin, rules, false)
}

/// The manifest at a URL: one Pod or a list of pods.
pub(crate) fn read_answer(bytes: &[u8], origin: &Origin, rules: &Rules) -> Manifest {
    read(bytes, origin, rules, true)
}

fn read(bytes: &[u8], origin: &Origin, rules: &Rules, lists: bool) -> Manifest {
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
        ("v1", "Pod") => add(&mut manifest, &document, &Path::default(), origin, rules),
        ("v1", "PodList" | "List") if lists => {
            let count = document.value().get("items").and_then(|items| items.as_array()).map_or(0, Vec::len);
            for index in 0..count {
                add(&mut manifest, &document, &Path::default().key("items").index(index), origin, rules);
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
fn add(manifest: &mut Manifest, document: &Document, path: &Path, origin: &Origin, rules: &Rules) {
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
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let at = |field: &str| document.nearest_location(&format!("{prefix}{field}"));
    let dropped = schema::drop_disabled(&mut pod, &rules.off);
    let refused = dropped.iter().any(|dropped| dropped.refused);
    for Dropped { path: field, feature, refused } in dropped {
        let finding = if refused {
            let message = format!("{prefix}{field}: Forbidden: the feature gate {feature:?} is off");
            Finding::error(Reason::FailedValidation, message)
        } else {
            let message = format!("{prefix}{field} has no effect: the feature gate {feature:?} is off");
            Finding::warning(Reason::FeatureOff, message)
        };
        manifest.findings.push(finding.at(at(&field)));
    }
    schema::default_pod(&mut pod);
    let invalid = schema::validate_pod(&pod).into_iter().map(|error| (Reason::FailedValidation, error));
    let references =
        if rules.api_references { schema::claims_and_bundles(&pod) } else { schema::api_references(&pod) };
    let references = references.into_iter().map(|error| (Reason::ApiReference, error));
    let errors: Vec<_> = invalid.chain(references).collect();
    if errors.is_empty() && !refused {
        manifest.pods.push(pod);
    }
    for (reason, error) in errors {
        let finding = Finding::error(reason, format!("{prefix}{error}")).at(at(&error.path));
        manifest.findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Severity;

    const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: a\n    image: b:1\n";

    fn read(text: &str) -> Manifest {
        read_by(text, &Rules::default())
    }

    fn read_by(text: &str, rules: &Rules) -> Manifest {
        read_file(text.as_bytes(), &Origin::file("/m/web.yaml", "node"), rules)
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
    fn gates_that_are_off_take_fields_or_refuse_the_pod() {
        let text = WEB.replace("spec:\n", "spec:\n  hostnameOverride: other\n")
            + "    restartPolicy: Never\n    lifecycle:\n      stopSignal: SIGUSR1\n";
        let rules = Rules {
            off: vec![Feature::HostnameOverride, Feature::ContainerStopSignals],
            api_references: false,
        };
        let manifest = read_by(&text, &rules);
        assert_eq!(types::pod::spec(&manifest.pods[0]).hostname_override, None);
        assert_eq!(
            lines(&manifest),
            [
                "6:3 FeatureOff spec.hostnameOverride has no effect: the feature gate HostnameOverride is off",
                "12:7 FeatureOff spec.containers[0].lifecycle.stopSignal has no effect: the feature gate ContainerStopSignals is off",
            ]
        );
        let rules = Rules { off: vec![Feature::ContainerRestartRules], api_references: false };
        let text = text.replace("      stopSignal: SIGUSR1\n", "      preStop: {sleep: {seconds: 1}}\n");
        let manifest = read_by(&text, &rules);
        assert!(manifest.pods.is_empty());
        let expected = "10:5 FailedValidation spec.containers[0].restartPolicy: Forbidden: the feature gate ContainerRestartRules is off";
        assert_eq!(lines(&manifest), [expected]);
    }

    #[test]
    fn references_to_api_objects_are_a_matter_of_a_gate() {
        let rules = Rules { api_references: true, ..Rules::default() };
        let text = WEB.replace("spec:\n", "spec:\n  serviceAccountName: x\n");
        assert_eq!(read_by(&text, &rules).pods.len(), 1);
        let text = WEB.replace("spec:\n", "spec:\n  resourceClaims: [{name: c, resourceClaimName: d}]\n");
        assert_eq!(read_by(&text, &rules).findings[0].reason, Reason::ApiReference);
    }

    #[test]
    fn lists_are_for_urls() {
        let item = "{\"metadata\": {\"name\": \"a\"}, \"spec\": {\"containers\": [{\"name\": \"a\", \"image\": \"b:1\"}]}}";
        let bad = item.replace("\"name\": \"a\", \"image\"", "\"name\": \"\", \"image\"");
        let list = format!("{{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{item}, {bad}]}}");
        let answer = read_answer(list.as_bytes(), &Origin::url("http://x/", "node"), &Rules::default());
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
