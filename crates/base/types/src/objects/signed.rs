//! What signers of certificates give to a pod: whom to trust, and certificates of its own (Kubernetes: "Projected Volumes",
//! `clusterTrustBundle` and `podCertificate`; KEP-3257, KEP-4317).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use crate::corev1::{ClusterTrustBundleProjection, PodCertificateProjection};
use crate::k8s::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Trust anchors that a pod wants, as a `clusterTrustBundle` source says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BundleRequest {
    /// Those of the ClusterTrustBundle of this name.
    Named(String),
    /// Those of all ClusterTrustBundles of a signer that have these labels.
    OfSigner {
        /// The signer.
        signer: String,
        /// The labels; `None` matches nothing.
        labels: Option<Labels>,
    },
}

impl BundleRequest {
    /// What `source` asks for.
    #[must_use]
    pub fn of(source: &ClusterTrustBundleProjection) -> Self {
        match &source.name {
            Some(name) => Self::Named(name.clone()),
            None => Self::OfSigner {
                signer: source.signer_name.clone().unwrap_or_default(),
                labels: source.label_selector.as_ref().map(Labels::of),
            },
        }
    }
}

/// Labels that objects have to have (Kubernetes: `LabelSelector`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels {
    exact: BTreeMap<String, String>,
    /// Key, operator, values.
    expressions: Vec<(String, String, BTreeSet<String>)>,
}

impl Labels {
    /// Those of `selector`.
    #[must_use]
    pub fn of(selector: &LabelSelector) -> Self {
        let expressions = selector.match_expressions.iter().flatten().map(|one| {
            (one.key.clone(), one.operator.clone(), one.values.iter().flatten().cloned().collect())
        });
        Self { exact: selector.match_labels.clone().unwrap_or_default(), expressions: expressions.collect() }
    }

    /// Whether something with `labels` is meant.
    #[must_use]
    pub fn fit(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |(key, operator, values): &(String, String, BTreeSet<String>)| {
            let value = labels.get(key);
            match operator.as_str() {
                "In" => value.is_some_and(|value| values.contains(value)),
                "NotIn" => value.is_none_or(|value| !values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        };
        self.exact.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(holds)
    }
}

/// A certificate that a pod wants, as a `podCertificate` source says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CertificateRequest {
    /// The volume.
    pub volume: String,
    /// Which of the volume's sources it is.
    pub source: usize,
    /// Who is to sign it.
    pub signer: String,
    /// Of which type the key is to be, such as `ECDSAP256`.
    pub key_type: String,
    /// How long it should be good for at most.
    pub max_expiration_seconds: Option<i32>,
    /// What the signer is told, as the pod says it.
    pub annotations: BTreeMap<String, String>,
}

impl CertificateRequest {
    /// What `source` of `volume` asks for.
    #[must_use]
    pub fn of(volume: &str, index: usize, source: &PodCertificateProjection) -> Self {
        Self {
            volume: volume.to_owned(),
            source: index,
            signer: source.signer_name.clone(),
            key_type: source.key_type.clone(),
            max_expiration_seconds: source.max_expiration_seconds,
            annotations: source.user_annotations.clone().unwrap_or_default(),
        }
    }
}

/// A key and its certificate, both as PEM. Its `Debug` does not tell the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    key: String,
    /// The certificate and those above it.
    pub chain: String,
    /// When it should be replaced.
    pub refresh: Timestamp,
}

impl Credential {
    /// The certificate `chain` of `key`, which is to be replaced at `refresh`.
    #[must_use]
    pub fn new(key: String, chain: String, refresh: Timestamp) -> Self {
        Self { key, chain, refresh }
    }

    /// The key. It must not get into a log.
    #[must_use]
    pub fn expose_key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_as_the_api_server_matches_them() {
        let has = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"a": "1"}}), true),
            (json!({"matchLabels": {"a": "2"}}), false),
            (one("a", "In", &["1", "3"]), true),
            (one("c", "In", &["1"]), false),
            (one("a", "NotIn", &["1"]), false),
            (one("c", "NotIn", &["1"]), true),
            (one("a", "Exists", &[]), true),
            (one("a", "DoesNotExist", &[]), false),
            (one("a", "Gt", &["0"]), false),
        ] {
            let labels = Labels::of(&serde_json::from_value(selector.clone()).unwrap());
            assert_eq!(labels.fit(&has), expected, "{selector}");
        }
    }
}
