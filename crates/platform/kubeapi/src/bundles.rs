//! Trust anchors out of ClusterTrustBundles (Kubernetes: "Certificates", ClusterTrustBundle). Pure.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use k8s_openapi::api::certificates::v1beta1::ClusterTrustBundle;
use rustls::pki_types::pem::SectionKind;
use types::objects::BundleRequest;

use crate::pem;

/// Whether `bundle` is among those that `request` asks for.
#[must_use]
pub fn is_asked(request: &BundleRequest, bundle: &ClusterTrustBundle) -> bool {
    match request {
        BundleRequest::Named(name) => bundle.metadata.name.as_ref() == Some(name),
        BundleRequest::OfSigner { signer, labels } => {
            let has = bundle.metadata.labels.clone().unwrap_or_default();
            bundle.spec.signer_name.as_ref() == Some(signer)
                && labels.as_ref().is_some_and(|labels| labels.fit(&has))
        }
    }
}

/// The trust anchors of `bundles` as PEM, each once. Their order is another one in each run of berth, so that nobody comes to
/// rely on it, and the same within one.
#[must_use]
pub fn trust_anchors<'a>(bundles: impl IntoIterator<Item = &'a ClusterTrustBundle>) -> String {
    static ORDER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let anchors: BTreeSet<Vec<u8>> = bundles
        .into_iter()
        .flat_map(|bundle| pem::blocks(&bundle.spec.trust_bundle))
        .map(|(_, der)| der)
        .collect();
    let mut anchors: Vec<_> = anchors.into_iter().collect();
    anchors.sort_by_cached_key(|der| ORDER.hash_one(der));
    anchors.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
}

/// The certificates of `chain` alone, without what is between them and their headers.
#[must_use]
pub(crate) fn only_certificates(chain: &str) -> String {
    let blocks = pem::blocks(chain).into_iter();
    blocks
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| pem::encode("CERTIFICATE", &der))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::objects::Labels;

    use super::*;

    fn bundle(name: &str, signer: Option<&str>, text: &str) -> ClusterTrustBundle {
        let spec = json!({"signerName": signer, "trustBundle": text});
        let metadata = json!({"name": name, "labels": {"live": name}});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn each_anchor_once_and_nothing_between() {
        let (one, two) = (pem::encode("CERTIFICATE", b"one"), pem::encode("CERTIFICATE", b"two"));
        let bundles = [bundle("a", None, &format!("hello\n{one}{two}")), bundle("b", None, &one)];
        let anchors = trust_anchors(&bundles);
        assert!(anchors == format!("{one}{two}") || anchors == format!("{two}{one}"), "{anchors}");
        assert_eq!(anchors, trust_anchors(&bundles), "the order stays");
        assert_eq!(only_certificates(&format!("# x\n{two}\n\nrest")), two);
        assert_eq!(trust_anchors([]), "");
    }

    #[test]
    fn by_name_or_by_signer_and_labels() {
        let (by_name, of_signer) = (bundle("a", None, ""), bundle("s:b", Some("s/x"), ""));
        let named = BundleRequest::Named("a".to_owned());
        assert_eq!((is_asked(&named, &by_name), is_asked(&named, &of_signer)), (true, false));
        let labels = |json| Some(Labels::of(&serde_json::from_value(json).unwrap()));
        for (labels, expected) in [
            (None, false),
            (labels(json!({})), true),
            (labels(json!({"matchLabels": {"live": "s:b"}})), true),
            (labels(json!({"matchLabels": {"live": "other"}})), false),
        ] {
            let request = BundleRequest::OfSigner { signer: "s/x".to_owned(), labels };
            assert_eq!((is_asked(&request, &of_signer), is_asked(&request, &by_name)), (expected, false));
        }
    }
}
