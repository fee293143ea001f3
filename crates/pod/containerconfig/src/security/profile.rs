//! Profiles of seccomp and AppArmor.

use std::path::{Component, Path};

use cri::v1::SecurityProfile;
use cri::v1::security_profile::ProfileType;
use types::corev1::{Container, PodSecurityContext, SecurityContext};
use types::{Pod, labels, pod};

use super::SecurityError;
use crate::NodeFacts;

const UNCONFINED: &str = "unconfined";
const RUNTIME_DEFAULT: &str = "runtime/default";
const LOCALHOST: &str = "localhost/";

/// The seccomp profile: the container's, then the pod's, then what `seccompDefault` says.
pub(super) fn seccomp(
    own: &SecurityContext,
    of_pod: &PodSecurityContext,
    facts: &NodeFacts,
) -> Result<SecurityProfile, SecurityError> {
    let Some(wanted) = own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()) else {
        return Ok(of_type(if facts.seccomp_default {
            ProfileType::RuntimeDefault
        } else {
            ProfileType::Unconfined
        }));
    };
    match wanted.type_.as_str() {
        "RuntimeDefault" => Ok(of_type(ProfileType::RuntimeDefault)),
        "Unconfined" => Ok(of_type(ProfileType::Unconfined)),
        "Localhost" => {
            let name = wanted.localhost_profile.as_deref().unwrap_or_default();
            let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if name.is_empty() || !inside {
                return Err(SecurityError::Profile { kind: "seccomp", name: name.to_owned() });
            }
            let path = facts.root_dir.join("seccomp").join(name);
            Ok(localhost(path.to_string_lossy().into_owned()))
        }
        other => Err(SecurityError::ProfileType { kind: "seccomp", name: other.to_owned() }),
    }
}

/// The AppArmor profile: the container's field, then the pod's, then the old annotation. `None`: the runtime decides.
pub(super) fn apparmor(
    pod: &Pod,
    container: &Container,
    own: &SecurityContext,
    of_pod: &PodSecurityContext,
) -> Result<Option<SecurityProfile>, SecurityError> {
    let Some(wanted) = own.app_armor_profile.as_ref().or(of_pod.app_armor_profile.as_ref()) else {
        let annotation = pod::annotation(pod, &format!("{}{}", labels::APPARMOR_PREFIX, container.name));
        return annotation.filter(|text| !text.is_empty()).map(from_annotation).transpose();
    };
    match wanted.type_.as_str() {
        "RuntimeDefault" => Ok(Some(of_type(ProfileType::RuntimeDefault))),
        "Unconfined" => Ok(Some(of_type(ProfileType::Unconfined))),
        "Localhost" => match wanted.localhost_profile.as_deref().unwrap_or_default() {
            "" => Err(SecurityError::Profile { kind: "AppArmor", name: String::new() }),
            name => Ok(Some(localhost(name.to_owned()))),
        },
        other => Err(SecurityError::ProfileType { kind: "AppArmor", name: other.to_owned() }),
    }
}

fn from_annotation(text: &str) -> Result<SecurityProfile, SecurityError> {
    match text {
        RUNTIME_DEFAULT => Ok(of_type(ProfileType::RuntimeDefault)),
        UNCONFINED => Ok(of_type(ProfileType::Unconfined)),
        _ => match text.strip_prefix(LOCALHOST) {
            Some(name) if !name.is_empty() => Ok(localhost(name.to_owned())),
            _ => Err(SecurityError::ProfileType { kind: "AppArmor", name: text.to_owned() }),
        },
    }
}

/// `profile` as the field that CRI had before.
pub(super) fn legacy_apparmor(profile: &SecurityProfile) -> String {
    match profile.profile_type() {
        ProfileType::RuntimeDefault => RUNTIME_DEFAULT.to_owned(),
        ProfileType::Unconfined => UNCONFINED.to_owned(),
        ProfileType::Localhost => format!("{LOCALHOST}{}", profile.localhost_ref),
    }
}

fn of_type(profile_type: ProfileType) -> SecurityProfile {
    SecurityProfile { profile_type: profile_type.into(), localhost_ref: String::new() }
}

fn localhost(localhost_ref: String) -> SecurityProfile {
    SecurityProfile { profile_type: ProfileType::Localhost.into(), localhost_ref }
}
