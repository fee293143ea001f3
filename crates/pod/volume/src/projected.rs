//! The files of projected volumes, from all their sources.

use std::path::Path;

use linux::beneath::{Links, Root};
use types::corev1::{ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection};
use types::objects::{Objects, TokenRequest};
use types::resources::Amounts;
use types::{Pod, pod};

use crate::atomic::{Payload, ProjectedFile};
use crate::keys::{self, Keys};
use crate::{Problem, downward, ownership};

/// Mode of tokens in a pod whose containers all run as one user, or that has a group of its own: the user or the group
/// gets what it needs, and nobody else anything.
const PRIVATE: i32 = 0o600;

/// The longest token that is read, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// The files of a projected volume.
pub(crate) fn files(
    pod: &Pod,
    source: &ProjectedVolumeSource,
    objects: &Objects,
    allocatable: &Amounts,
) -> Result<Payload, Problem> {
    let mut payload = Payload::default();
    for projection in source.sources.iter().flatten() {
        add(&mut payload, pod, source, projection, objects, allocatable)?;
    }
    Ok(payload)
}

fn add(
    payload: &mut Payload,
    pod: &Pod,
    source: &ProjectedVolumeSource,
    projection: &VolumeProjection,
    objects: &Objects,
    allocatable: &Amounts,
) -> Result<(), Problem> {
    let default_mode = source.default_mode;
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
    } else if let Some(what) = signed(projection) {
        let needs = "certificates of the cluster's signers, which berth cannot ask for yet";
        Err(Problem::Unsupported { what: format!("the source {what}"), needs })
    } else {
        Ok(())
    }
}

fn token_file(
    pod: &Pod,
    source: &ServiceAccountTokenProjection,
    default_mode: Option<i32>,
    objects: &Objects,
) -> Result<ProjectedFile, Problem> {
    let token = objects.token(&request(source))?;
    let user = one_user(pod);
    let private = user.is_some() || ownership::fs_group(pod).is_some();
    let mode = if private { Some(PRIVATE) } else { default_mode };
    Ok(ProjectedFile { uid: user, ..ProjectedFile::new(token.expose().as_bytes(), mode) })
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

/// The field of a source that takes a signer of certificates.
fn signed(projection: &VolumeProjection) -> Option<&'static str> {
    let sources = [
        (projection.cluster_trust_bundle.is_some(), "clusterTrustBundle"),
        (projection.pod_certificate.is_some(), "podCertificate"),
    ];
    sources.into_iter().find_map(|(present, name)| present.then_some(name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};
    use types::objects::Token;

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
        };
        let of = |spec: Value| {
            let payload = files(&pod(spec), &source, &objects, &Amounts::default()).unwrap();
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
    fn what_takes_a_signer_is_refused() {
        let source = json!({"sources": [{"clusterTrustBundle": {"path": "ca", "name": "b"}}]});
        let source = serde_json::from_value(source).unwrap();
        let none = (Objects::default(), Amounts::default());
        let refused = files(&pod(json!({"containers": []})), &source, &none.0, &none.1).unwrap_err();
        assert!(
            refused.to_string().contains("the source clusterTrustBundle needs certificates"),
            "{refused}"
        );
    }
}
