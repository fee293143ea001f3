//! From the objects of the API server to what a pod wants of a driver. Pure.

use std::collections::BTreeMap;

use pluginapi::csi::{AccessMode, Secrets};
use types::corev1::{PersistentVolume, Secret, Volume};
use types::{Pod, PodRef, pod};
use volume::claim::{self, VolumeMode};
use volume::ownership::{self, ChangePolicy};

use crate::layout::VolumeId;
use crate::note::Lifecycle;
use crate::policy::Policy;
use crate::wanted::{Group, PodContext, Wanted};

/// Where a pod has a CSI volume from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// From a PersistentVolume, by a claim.
    Persistent {
        /// The volume.
        volume: &'a PersistentVolume,
        /// Its name in the pod's spec.
        name: &'a str,
        /// Whether the pod wants to read only.
        read_only: bool,
    },
    /// From its own spec.
    Inline(&'a Volume),
}

/// The name of a Secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What has to be asked of the API server before a volume can be staged and published.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// `nodeStageSecretRef`.
    pub stage_secret: Option<SecretName>,
    /// `nodePublishSecretRef`.
    pub publish_secret: Option<SecretName>,
}

/// What was found of it.
#[derive(Clone, Debug, Default)]
pub struct Found<'a> {
    /// The Secret of [`Needs::stage_secret`].
    pub stage_secret: Option<&'a Secret>,
    /// The Secret of [`Needs::publish_secret`].
    pub publish_secret: Option<&'a Secret>,
    /// `attachmentMetadata` of the VolumeAttachment, if the driver attaches ([`Policy::attach`]).
    pub publish_context: BTreeMap<String, String>,
    /// The tokens that the driver wants ([`Policy::tokens`]).
    pub tokens: Vec<FoundToken<'a>>,
}

/// A token of the pod's service account.
#[derive(Clone, Copy)]
pub struct FoundToken<'a> {
    /// For whom it is, as the driver asked for it.
    pub audience: &'a str,
    /// The token itself.
    pub token: &'a str,
    /// When it ends, as the API server wrote it.
    pub expiration: &'a str,
}

impl std::fmt::Debug for FoundToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundToken").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// Why it cannot be said what a pod wants.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// It is no volume of a CSI driver.
    #[error("volume {0:?} is not one of a CSI driver")]
    NotCsi(String),
    /// The driver does not support volumes of this lifecycle.
    #[error("volume mode {lifecycle:?} not supported by driver {driver} ({why})")]
    Lifecycle {
        /// What is wanted.
        lifecycle: &'static str,
        /// The driver.
        driver: String,
        /// What it supports.
        why: String,
    },
    /// The volume's first access mode is unknown.
    #[error("the access mode {0:?} is unknown")]
    AccessMode(String),
    /// A key of a Secret is no text, which is all that a driver can be given.
    #[error("the key {key:?} of secret {secret:?} is not UTF-8: a CSI driver can be given text only")]
    Binary {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
}

impl Source<'_> {
    /// What has to be asked for.
    #[must_use]
    pub fn needs(&self, pod: &Pod) -> Needs {
        match self {
            Self::Persistent { volume, .. } => {
                let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
                let named = |reference: &types::corev1::SecretReference| SecretName {
                    namespace: reference.namespace.clone().unwrap_or_default(),
                    name: reference.name.clone().unwrap_or_default(),
                };
                Needs {
                    stage_secret: csi.and_then(|csi| csi.node_stage_secret_ref.as_ref()).map(named),
                    publish_secret: csi.and_then(|csi| csi.node_publish_secret_ref.as_ref()).map(named),
                }
            }
            Self::Inline(volume) => {
                let namespace = pod.metadata.namespace.clone().unwrap_or_default();
                let reference = volume.csi.as_ref().and_then(|csi| csi.node_publish_secret_ref.as_ref());
                let publish_secret =
                    reference.map(|reference| SecretName { namespace, name: reference.name.clone() });
                Needs { stage_secret: None, publish_secret }
            }
        }
    }
}

/// What `pod` wants of the driver of `source`, which has the policy `policy`.
///
/// # Errors
/// If the volume is none of a CSI driver, or not one that the driver supports.
pub fn wanted(
    pod: &Pod,
    source: Source<'_>,
    policy: &Policy,
    found: &Found<'_>,
) -> Result<Wanted, SpecError> {
    let PodRef { name: pod_name, uid } = PodRef::of(pod);
    let mut publish_secrets = secrets(found.publish_secret)?;
    let mut pod_context = PodContext::default();
    let mut wanted = match source {
        Source::Persistent { volume, name, read_only } => {
            let pv = volume.metadata.name.clone().unwrap_or_default();
            let spec = volume.spec.as_ref();
            let csi = spec.and_then(|spec| spec.csi.as_ref());
            let (Some(spec), Some(csi)) = (spec, csi) else { return Err(SpecError::NotCsi(pv)) };
            let modes = spec.access_modes.clone().unwrap_or_default();
            let mode = match modes.first() {
                None => AccessMode::ReadWriteOnce,
                Some(mode) => AccessMode::named(mode).ok_or_else(|| SpecError::AccessMode(mode.clone()))?,
            };
            let fs_type = csi.fs_type.clone().unwrap_or_default();
            let volume_mode = VolumeMode::of(volume);
            let by_kubelet = policy.gives_to_group(&fs_type, Some(&modes), read_only);
            Wanted {
                volume_mode,
                volume: VolumeId { driver: csi.driver.clone(), handle: csi.volume_handle.clone() },
                pod: uid,
                pod_name,
                spec_name: pv,
                name: name.to_owned(),
                lifecycle: Lifecycle::Persistent,
                mode,
                by_one_pod: modes.len() == 1 && mode == AccessMode::ReadWriteOncePod,
                mount_options: spec.mount_options.clone().unwrap_or_default(),
                read_only,
                publish_context: found.publish_context.clone(),
                volume_context: csi.volume_attributes.clone().unwrap_or_default(),
                pod_context: PodContext::default(),
                stage_secrets: secrets(found.stage_secret)?,
                publish_secrets: Secrets::default(),
                group: group(pod, by_kubelet).filter(|_| volume_mode == VolumeMode::Filesystem),
                gid: claim::group(volume),
                label: None,
                fs_type,
            }
        }
        Source::Inline(volume) => {
            let Some(csi) = &volume.csi else { return Err(SpecError::NotCsi(volume.name.clone())) };
            let fs_type = csi.fs_type.clone().unwrap_or_default();
            let read_only = csi.read_only == Some(true);
            let handle = VolumeId::ephemeral_handle(&uid, &volume.name);
            Wanted {
                volume: VolumeId { driver: csi.driver.clone(), handle },
                pod: uid,
                pod_name,
                spec_name: volume.name.clone(),
                name: volume.name.clone(),
                lifecycle: Lifecycle::Ephemeral,
                volume_mode: VolumeMode::Filesystem,
                mode: AccessMode::ReadWriteOnce,
                by_one_pod: false,
                mount_options: Vec::new(),
                read_only,
                publish_context: BTreeMap::new(),
                volume_context: csi.volume_attributes.clone().unwrap_or_default(),
                pod_context: PodContext::default(),
                stage_secrets: Secrets::default(),
                publish_secrets: Secrets::default(),
                group: group(pod, policy.gives_to_group(&fs_type, None, read_only)),
                gid: None,
                label: None,
                fs_type,
            }
        }
    };
    policy.supports(wanted.lifecycle).map_err(|why| SpecError::Lifecycle {
        lifecycle: wanted.lifecycle.as_str(),
        driver: wanted.volume.driver.clone(),
        why,
    })?;
    if policy.pod_info {
        pod_context.0.extend(pod_info(pod, wanted.lifecycle));
    }
    if !policy.tokens.is_empty() {
        let (key, tokens) = ("csi.storage.k8s.io/serviceAccount.tokens".to_owned(), tokens(&found.tokens));
        if policy.tokens_in_secrets {
            publish_secrets.insert(key, tokens);
        } else {
            pod_context.0.insert(key, tokens);
        }
    }
    wanted.pod_context = pod_context;
    wanted.publish_secrets = publish_secrets;
    Ok(wanted)
}

pub(crate) fn secrets(secret: Option<&Secret>) -> Result<Secrets, SpecError> {
    let Some(secret) = secret else { return Ok(Secrets::default()) };
    let text = |(key, value): (&String, &types::k8s::ByteString)| {
        let binary = |_| SpecError::Binary {
            secret: secret.metadata.name.clone().unwrap_or_default(),
            key: key.clone(),
        };
        String::from_utf8(value.0.clone()).map(|value| (key.clone(), value)).map_err(binary)
    };
    secret.data.iter().flatten().map(text).collect()
}

fn group(pod: &Pod, by_kubelet: bool) -> Option<Group> {
    let context = pod::spec(pod).security_context.as_ref();
    let policy = match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
        Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
        _ => ChangePolicy::Always,
    };
    ownership::fs_group(pod).map(|id| Group { id, policy, by_kubelet })
}

fn pod_info(pod: &Pod, lifecycle: Lifecycle) -> [(String, String); 5] {
    let meta = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        ("csi.storage.k8s.io/pod.name", text(&meta.name)),
        ("csi.storage.k8s.io/pod.namespace", text(&meta.namespace)),
        ("csi.storage.k8s.io/pod.uid", text(&meta.uid)),
        ("csi.storage.k8s.io/serviceAccount.name", text(&pod::spec(pod).service_account_name)),
        ("csi.storage.k8s.io/ephemeral", (lifecycle == Lifecycle::Ephemeral).to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// JSON: for each audience what the API server answered to the request for its token.
fn tokens(tokens: &[FoundToken<'_>]) -> String {
    let all = tokens.iter().map(|found| {
        let answer = serde_json::json!({"token": found.token, "expirationTimestamp": found.expiration});
        (found.audience, answer)
    });
    let all: BTreeMap<_, _> = all.collect();
    serde_json::json!(all).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "prod", "uid": "u1"},
            "spec": {
                "serviceAccountName": "robot", "containers": [],
                "securityContext": {"fsGroup": 7, "fsGroupChangePolicy": "OnRootMismatch"},
            },
        }))
        .unwrap()
    }

    fn volume() -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "pv-1"},
            "spec": {
                "accessModes": ["ReadWriteOncePod"], "mountOptions": ["noatime"],
                "csi": {
                    "driver": "d.example", "volumeHandle": "h", "fsType": "xfs", "volumeAttributes": {"pool": "p"},
                    "nodeStageSecretRef": {"namespace": "kube-system", "name": "s"},
                },
            },
        }))
        .unwrap()
    }

    fn secret(value: &[u8]) -> Secret {
        let value = types::k8s::ByteString(value.to_vec());
        Secret { data: Some(BTreeMap::from([("password".to_owned(), value)])), ..Secret::default() }
    }

    fn policy(spec: serde_json::Value) -> Policy {
        Policy::of(Some(&serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": spec})).unwrap()))
    }

    #[test]
    fn a_persistent_volume() {
        let (pod, volume) = (pod(), volume());
        let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
        let name = SecretName { namespace: "kube-system".into(), name: "s".into() };
        assert_eq!(source.needs(&pod), Needs { stage_secret: Some(name), publish_secret: None });
        let secret = secret(b"hunter2");
        let found = Found { stage_secret: Some(&secret), ..Found::default() };
        let wanted = wanted(&pod, source, &Policy::of(None), &found).unwrap();
        assert_eq!(wanted.volume, VolumeId { driver: "d.example".into(), handle: "h".into() });
        assert_eq!((wanted.spec_name.as_str(), wanted.fs_type.as_str()), ("pv-1", "xfs"));
        assert!(wanted.by_one_pod && wanted.mode == AccessMode::ReadWriteOncePod);
        assert_eq!(wanted.mount_options, ["noatime"]);
        assert_eq!(wanted.volume_context["pool"], "p");
        let expected = Group { id: 7, policy: ChangePolicy::OnRootMismatch, by_kubelet: true };
        assert_eq!(wanted.group, Some(expected));
        assert!(!format!("{wanted:?}").contains("hunter2"));
        assert!(wanted.pod_context.0.is_empty());
    }

    #[test]
    fn an_inline_volume_with_pod_info_and_tokens() {
        let pod = pod();
        let volume: Volume = serde_json::from_value(json!({
            "name": "scratch", "csi": {"driver": "d.example", "readOnly": true, "nodePublishSecretRef": {"name": "p"}},
        }))
        .unwrap();
        let source = Source::Inline(&volume);
        let name = SecretName { namespace: "prod".into(), name: "p".into() };
        assert_eq!(source.needs(&pod).publish_secret, Some(name));
        let token = FoundToken { audience: "vault", token: "abc", expiration: "2026-01-01T00:00:00Z" };
        let found = Found { tokens: vec![token], ..Found::default() };
        let spec = json!({
            "podInfoOnMount": true, "volumeLifecycleModes": ["Ephemeral"], "tokenRequests": [{"audience": "vault"}],
        });
        let wanted_by = |spec| wanted(&pod, source, &policy(spec), &found);
        let wanted = wanted_by(spec.clone()).unwrap();
        assert_eq!(wanted.volume.handle, VolumeId::ephemeral_handle(&"u1".into(), "scratch"));
        assert!(wanted.read_only);
        let context = &wanted.pod_context.0;
        assert_eq!(context["csi.storage.k8s.io/ephemeral"], "true");
        assert_eq!(context["csi.storage.k8s.io/serviceAccount.name"], "robot");
        assert_eq!(
            context["csi.storage.k8s.io/serviceAccount.tokens"],
            r#"{"vault":{"token":"abc","expirationTimestamp":"2026-01-01T00:00:00Z"}}"#
        );
        assert!(!format!("{wanted:?}").contains("abc"));
        let mut in_secrets = spec;
        in_secrets["serviceAccountTokenInSecrets"] = json!(true);
        let wanted = wanted_by(in_secrets).unwrap();
        assert!(!wanted.pod_context.0.contains_key("csi.storage.k8s.io/serviceAccount.tokens"));
        assert!(format!("{:?}", wanted.publish_secrets).contains("serviceAccount.tokens"));
        assert_eq!(
            wanted_by(json!({"volumeLifecycleModes": ["Persistent"]})).unwrap_err().to_string(),
            "volume mode \"Ephemeral\" not supported by driver d.example (only supports [\"Persistent\"])"
        );
    }

    #[test]
    fn a_secret_that_is_no_text_is_named() {
        let (pod, volume) = (pod(), volume());
        let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
        let secret = secret(&[0xff]);
        let found = Found { stage_secret: Some(&secret), ..Found::default() };
        let error = wanted(&pod, source, &Policy::of(None), &found).unwrap_err();
        assert!(error.to_string().contains("\"password\""), "{error}");
    }
}
