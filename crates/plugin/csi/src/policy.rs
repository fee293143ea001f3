//! What a driver asks of a kubelet by its CSIDriver object. Pure (Kubernetes: "CSIDriver"; KEP-1682 for fsGroup, KEP-2047 and
//! KEP-5538 for tokens, KEP-596 for inline volumes).

use std::time::Duration;

use types::k8s::api::storage::v1::CSIDriver;
use types::objects::TokenRequest;

use crate::note::Lifecycle;

/// What the driver asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Whether the controller attaches a volume to the node before it is staged.
    pub attach: bool,
    /// Whether it wants to know which pod it publishes to.
    pub pod_info: bool,
    /// Whether it wants to publish again and again.
    pub republish: bool,
    /// When the kubelet gives files to the pod's group.
    pub fs_group: FsGroupPolicy,
    /// The tokens of the pod's service account that it wants.
    pub tokens: Vec<TokenRequest>,
    /// Whether it wants them among the secrets, and not in the volume's context.
    pub tokens_in_secrets: bool,
    /// How often it is asked again how many volumes it can have on the node (KEP-4876); `None` for never.
    pub limit_period: Option<Duration>,
    /// The lifecycles that it supports; none if there is no object that says so.
    lifecycles: Option<Vec<String>>,
}

/// When the kubelet gives files to the pod's group (`fsGroupPolicy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FsGroupPolicy {
    /// If the volume has a file system that is named, and is written from one node.
    ReadWriteOnceWithFsType,
    /// Always.
    File,
    /// Never.
    None,
}

impl Policy {
    /// The policy of a driver with this object, or without any.
    #[must_use]
    pub fn of(driver: Option<&CSIDriver>) -> Self {
        let spec = driver.map(|driver| &driver.spec);
        let says =
            |field: fn(&types::k8s::api::storage::v1::CSIDriverSpec) -> Option<bool>| spec.and_then(field);
        let fs_group = match spec.and_then(|spec| spec.fs_group_policy.as_deref()) {
            Some("File") => FsGroupPolicy::File,
            Some("None") => FsGroupPolicy::None,
            _ => FsGroupPolicy::ReadWriteOnceWithFsType,
        };
        let tokens = spec.and_then(|spec| spec.token_requests.as_ref()).into_iter().flatten();
        Self {
            attach: says(|spec| spec.attach_required).unwrap_or(true),
            pod_info: says(|spec| spec.pod_info_on_mount) == Some(true),
            republish: says(|spec| spec.requires_republish) == Some(true),
            fs_group,
            tokens: tokens
                .map(|token| TokenRequest {
                    audience: token.audience.clone(),
                    expiration_seconds: token.expiration_seconds,
                })
                .collect(),
            tokens_in_secrets: says(|spec| spec.service_account_token_in_secrets) == Some(true),
            limit_period: spec
                .and_then(|spec| spec.node_allocatable_update_period_seconds)
                .and_then(|secs| u64::try_from(secs).ok())
                .filter(|secs| *secs > 0)
                .map(Duration::from_secs),
            lifecycles: spec.map(|spec| spec.volume_lifecycle_modes.clone().unwrap_or_default()),
        }
    }

    /// Whether volumes of this lifecycle are supported; otherwise what is, in words. A driver without an object supports
    /// persistent ones alone.
    pub(crate) fn supports(&self, lifecycle: Lifecycle) -> Result<(), String> {
        match &self.lifecycles {
            None if lifecycle == Lifecycle::Persistent => Ok(()),
            None => Err("no CSIDriver object".to_owned()),
            Some(all) if all.iter().any(|one| one == lifecycle.as_str()) => Ok(()),
            Some(all) => Err(format!("only supports {all:?}")),
        }
    }

    /// Whether the kubelet gives the files to the pod's group, for a volume with this file system and these access modes.
    /// Inline volumes have none, and are written from one node.
    pub(crate) fn gives_to_group(
        &self,
        fs_type: &str,
        access_modes: Option<&[String]>,
        read_only: bool,
    ) -> bool {
        if read_only {
            return false;
        }
        let once = |modes: &[String]| {
            modes.iter().any(|mode| matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod"))
        };
        match self.fs_group {
            FsGroupPolicy::None => false,
            FsGroupPolicy::File => true,
            FsGroupPolicy::ReadWriteOnceWithFsType => !fs_type.is_empty() && access_modes.is_none_or(once),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: &str) -> Policy {
        let driver = format!("{{\"metadata\": {{\"name\": \"d\"}}, \"spec\": {spec}}}");
        Policy::of(Some(&serde_json::from_str(&driver).unwrap()))
    }

    #[test]
    fn without_an_object() {
        let policy = Policy::of(None);
        assert!(policy.attach && !policy.pod_info && !policy.republish && policy.tokens.is_empty());
        assert_eq!(policy.supports(Lifecycle::Persistent), Ok(()));
        assert_eq!(policy.supports(Lifecycle::Ephemeral), Err("no CSIDriver object".into()));
    }

    #[test]
    fn what_the_object_says() {
        let policy = policy(
            r#"{"attachRequired": false, "podInfoOnMount": true, "requiresRepublish": true,
                "nodeAllocatableUpdatePeriodSeconds": 60,
                "volumeLifecycleModes": ["Ephemeral"], "serviceAccountTokenInSecrets": true,
                "tokenRequests": [{"audience": "vault", "expirationSeconds": 600}]}"#,
        );
        assert!(!policy.attach && policy.pod_info && policy.republish && policy.tokens_in_secrets);
        assert_eq!(
            (policy.limit_period, Policy::of(None).limit_period),
            (Some(Duration::from_mins(1)), None)
        );
        let token = TokenRequest { audience: "vault".into(), expiration_seconds: Some(600) };
        assert_eq!(policy.tokens, [token]);
        assert_eq!(policy.supports(Lifecycle::Persistent), Err("only supports [\"Ephemeral\"]".into()));
    }

    #[test]
    fn who_gives_files_to_the_group() {
        let (once, many) = (["ReadWriteOnce".to_owned()], ["ReadWriteMany".to_owned()]);
        type Row<'a> = (&'a str, &'a str, Option<&'a [String]>, bool, bool);
        let table: [Row<'_>; 9] = [
            ("{}", "ext4", Some(&once), false, true),
            ("{}", "ext4", Some(&once), true, false),
            ("{}", "", Some(&once), false, false),
            ("{}", "ext4", Some(&many), false, false),
            ("{}", "ext4", Some(&[]), false, false),
            ("{}", "ext4", None, false, true),
            (r#"{"fsGroupPolicy": "File"}"#, "", Some(&many), false, true),
            (r#"{"fsGroupPolicy": "File"}"#, "", Some(&many), true, false),
            (r#"{"fsGroupPolicy": "None"}"#, "ext4", Some(&once), false, false),
        ];
        for (spec, fs_type, modes, read_only, expected) in table {
            assert_eq!(
                policy(spec).gives_to_group(fs_type, modes, read_only),
                expected,
                "{spec} {fs_type} {modes:?} {read_only}"
            );
        }
    }
}
