//! The files of projected volumes, from all their sources.

use std::path::Path;

use linux::beneath::{Links, Root};
use types::corev1::{
    PodCertificateProjection, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};
use types::objects::{BundleRequest, CertificateRequest, Objects, TokenRequest};
use types::resources::Amounts;
use types::{Pod, pod};

use crate::atomic::{Payload, ProjectedFile};
use crate::error::Problem;
use crate::keys::{self, Keys};
use crate::{downward, ownership};

/// Mode of tokens, keys and certificates in a pod whose containers all run as one user, or that has a group of its own: the
/// user or the group gets what it needs, and nobody else anything.
const PRIVATE: i32 = 0o600;

/// The longest token that is read, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// The files of the projected volume `volume`.
pub(crate) fn files(
    pod: &Pod,
    volume: &str,
    source: &ProjectedVolumeSource,
    objects: &Objects,
    allocatable: &Amounts,
) -> Result<Payload, Problem> {
    let mut payload = Payload::default();
    for (index, projection) in source.sources.iter().flatten().enumerate() {
        if let Some(certificate) = &projection.pod_certificate {
            let request = CertificateRequest::of(volume, index, certificate);
            add_certificate(&mut payload, pod, source.default_mode, certificate, &request, objects)?;
        } else {
            add(&mut payload, pod, source.default_mode, projection, objects, allocatable)?;
        }
    }
    Ok(payload)
}

fn add(
    payload: &mut Payload,
    pod: &Pod,
    default_mode: Option<i32>,
    projection: &VolumeProjection,
    objects: &Objects,
    allocatable: &Amounts,
) -> Result<(), Problem> {
    if let Some(secret) = &projection.secret {
        let (items, optional) = (secret.items.as_deref(), secret.optional == Some(true));
        keys::add_secret(payload, objects, Keys { object: &secret.name, items, default_mode, optional })
    } else if let Some(map) = &projection.config_map {
        let (items, optional) = (map.items.as_deref(), map.optional == Some(true));
        keys::add_config_map(payload, objects, Keys { object: &map.name, items, default_mode, optional })
    } else if let Some(downward) = &projection.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        downward::add(payload, pod, items, default_mode, allocatable)
    } else if let Some(token) = &projection.service_account_token {
        Ok(payload.insert(&token.path, token_file(pod, token, default_mode, objects)?)?)
    } else if let Some(bundle) = &projection.cluster_trust_bundle {
        let anchors = match objects.bundle(&BundleRequest::of(bundle)) {
            Err(error) if error.is_not_found() && bundle.optional == Some(true) => "",
            anchors => anchors?,
        };
        Ok(payload.insert(&bundle.path, private(pod, anchors, default_mode))?)
    } else {
        Ok(())
    }
}

/// The files of a certificate: the key, the chain, and both in one, as far as they are named.
fn add_certificate(
    payload: &mut Payload,
    pod: &Pod,
    default_mode: Option<i32>,
    source: &PodCertificateProjection,
    request: &CertificateRequest,
    objects: &Objects,
) -> Result<(), Problem> {
    let credential = objects.certificate(request)?;
    let (key, chain) = (credential.expose_key(), &credential.chain);
    let files = [
        (&source.credential_bundle_path, format!("{key}{chain}")),
        (&source.key_path, key.to_owned()),
        (&source.certificate_chain_path, chain.clone()),
    ];
    for (path, text) in files {
        if let Some(path) = path.as_deref().filter(|path| !path.is_empty()) {
            payload.insert(path, private(pod, &text, default_mode))?;
        }
    }
    Ok(())
}

fn token_file(
    pod: &Pod,
    source: &ServiceAccountTokenProjection,
    default_mode: Option<i32>,
    objects: &Objects,
) -> Result<ProjectedFile, Problem> {
    let token = objects.token(&request(source))?;
    Ok(private(pod, token.expose(), default_mode))
}

/// A file for the user or the group of the pod alone, if it has one.
fn private(pod: &Pod, text: &str, default_mode: Option<i32>) -> ProjectedFile {
    let user = one_user(pod);
    let private = user.is_some() || ownership::fs_group(pod).is_some();
    let mode = if private { Some(PRIVATE) } else { default_mode };
    ProjectedFile { uid: user, ..ProjectedFile::new(text.as_bytes(), mode) }
}

/// The tokens that the volume at `dir` shows now, for what they were asked for. What cannot be read is none.
pub(crate) fn shown_tokens(dir: &Path, source: &ProjectedVolumeSource) -> Vec<(TokenRequest, String)> {
    let Ok(root) = Root::open(dir) else { return Vec::new() };
    let tokens = source.sources.iter().flatten().filter_map(|source| source.service_account_token.as_ref());
    let shown = |token: &ServiceAccountTokenProjection| {
        let bytes = root.read(Path::new(&token.path), Links::Beneath, MAX_TOKEN).ok()?;
        Some((request(token), String::from_utf8(bytes).ok()?))
    };
    tokens.filter_map(shown).collect()
}

fn request(source: &ServiceAccountTokenProjection) -> TokenRequest {
    TokenRequest {
        audience: source.audience.clone().unwrap_or_default(),
        expiration_seconds: source.expiration_seconds,
    }
}

/// The user that all containers of the pod run as, where all say so and say the same.
fn one_user(pod: &Pod) -> Option<u32> {
    let of_pod = pod::spec(pod).security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = pod::containers(pod).map(|(_, container)| {
        let own = container.security_context.as_ref().and_then(|context| context.run_as_user);
        own.or(of_pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};
    use types::objects::{Credential, ObjectError, Token};

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn one_user_for_all() {
        let user = |id: i64| json!({"runAsUser": id});
        for (of_pod, first, second, init, expected) in [
            (json!({}), user(5), user(5), user(5), Some(5)),
            (user(5), json!({}), json!({}), user(5), Some(5)),
            (user(5), user(6), json!({}), json!({}), None),
            (json!({}), user(5), json!({}), user(5), None),
            (json!({}), user(5), user(5), user(0), None),
            (json!({}), user(0), user(0), user(0), Some(0)),
            (json!({}), json!({}), json!({}), json!({}), None),
        ] {
            let pod = pod(json!({"securityContext": of_pod,
                "initContainers": [{"name": "i", "securityContext": init}],
                "containers": [{"name": "a", "securityContext": first}, {"name": "b", "securityContext": second}]}));
            assert_eq!(one_user(&pod), expected, "{:?}", pod.spec);
        }
    }

    #[test]
    fn sources_are_put_together_in_their_order() {
        let source: ProjectedVolumeSource = serde_json::from_value(json!({"defaultMode": 0o444, "sources": [
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "both"}]}},
            {"secret": {"name": "s", "items": [{"key": "k", "path": "both", "mode": 0o400}]}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
            {"secret": {"name": "none", "optional": true}}]}))
        .unwrap();
        let request = TokenRequest { audience: "vault".to_owned(), expiration_seconds: Some(600) };
        let objects = Objects {
            config_maps: [(
                "m".to_owned(),
                Ok(Arc::new(serde_json::from_value(json!({"data": {"k": "map"}})).unwrap())),
            )]
            .into(),
            secrets: [(
                "s".to_owned(),
                Ok(Arc::new(serde_json::from_value(json!({"data": {"k": "eA=="}})).unwrap())),
            )]
            .into(),
            tokens: [(request, Ok(Token::new("t0ken".to_owned(), Timestamp::MAX)))].into(),
            ..Objects::default()
        };
        let of = |spec: Value| {
            let payload = files(&pod(spec), "v", &source, &objects, &Amounts::default()).unwrap();
            let shown = |(path, file): (&Path, &ProjectedFile)| {
                (
                    path.display().to_string(),
                    String::from_utf8(file.data.clone()).unwrap(),
                    file.mode,
                    file.uid,
                )
            };
            payload.iter().map(shown).collect::<Vec<_>>()
        };
        let file = |path: &str, text: &str, mode, uid| (path.to_owned(), text.to_owned(), mode, uid);
        let (both, name) = (file("both", "x", 0o400, None), file("name", "p", 0o444, None));
        let container = json!([{"name": "c"}]);
        let plain = of(json!({"containers": container}));
        assert_eq!(plain, [both.clone(), name.clone(), file("token", "t0ken", 0o444, None)]);
        let group = of(json!({"securityContext": {"fsGroup": 7}, "containers": container}));
        assert_eq!(group[2], file("token", "t0ken", 0o600, None));
        let user = of(json!({"securityContext": {"runAsUser": 9}, "containers": container}));
        assert_eq!(user[2], file("token", "t0ken", 0o600, Some(9)));
    }

    #[test]
    fn what_signers_give() {
        let source: ProjectedVolumeSource = serde_json::from_value(json!({"defaultMode": 0o444, "sources": [
            {"clusterTrustBundle": {"path": "ca", "name": "b"}},
            {"clusterTrustBundle": {"path": "none", "signerName": "s/x", "labelSelector": {}, "optional": true}},
            {"podCertificate": {"signerName": "s/x", "keyType": "ED25519", "credentialBundlePath": "both", "keyPath": "key",
                "certificateChainPath": "chain"}}]}))
        .unwrap();
        let sources = source.sources.as_deref().unwrap_or_default();
        let named = BundleRequest::Named("b".to_owned());
        let missing = BundleRequest::of(sources[1].cluster_trust_bundle.as_ref().unwrap());
        let request = CertificateRequest::of("v", 2, sources[2].pod_certificate.as_ref().unwrap());
        let no_bundle = ObjectError::NotFound { kind: "clustertrustbundle", name: String::new() };
        let mut objects = Objects {
            bundles: [(named, Ok("CA".into())), (missing, Err(no_bundle))].into(),
            certificates: [(
                request.clone(),
                Ok(Credential::new("K".to_owned(), "C".to_owned(), Timestamp::MAX)),
            )]
            .into(),
            ..Objects::default()
        };
        let pod = pod(json!({"containers": [{"name": "c"}], "securityContext": {"runAsUser": 9}}));
        let payload = files(&pod, "v", &source, &objects, &Amounts::default()).unwrap();
        let shown: Vec<_> = payload
            .iter()
            .map(|(path, file)| {
                (path.to_str().unwrap(), std::str::from_utf8(&file.data).unwrap(), file.mode, file.uid)
            })
            .collect();
        let file = |path: &'static str, text: &'static str| (path, text, 0o600, Some(9));
        assert_eq!(
            shown,
            [file("both", "KC"), file("ca", "CA"), file("chain", "C"), file("key", "K"), file("none", "")]
        );
        let waits = ObjectError::Withheld { message: "credential bundle is not issued yet".to_owned() };
        objects.certificates.insert(request, Err(waits));
        let error = files(&pod, "v", &source, &objects, &Amounts::default()).unwrap_err();
        assert!(error.to_string().contains("not issued yet"), "{error}");
    }
}
