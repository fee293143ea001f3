//! AppArmor: a profile that cannot be enforced keeps the pod out.

use types::corev1::AppArmorProfile;
use types::{labels, pod};

use crate::{AdmitInput, Reject};

/// Only pods that have not begun are held to it: one that runs keeps running.
pub(crate) fn check(input: &AdmitInput<'_>) -> Result<(), Reject> {
    let phase = input.pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let begun = phase.is_some_and(|phase| phase != "Pending");
    if begun || input.node.apparmor || !asks_for_profile(input) {
        return Ok(());
    }
    Err(Reject::new("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"))
}

fn asks_for_profile(input: &AdmitInput<'_>) -> bool {
    let confines =
        |profile: Option<&AppArmorProfile>| profile.is_some_and(|profile| profile.type_ != "Unconfined");
    let whole = pod::spec(input.pod).security_context.as_ref();
    let annotations = input.pod.metadata.annotations.iter().flatten();
    confines(whole.and_then(|context| context.app_armor_profile.as_ref()))
        || pod::containers(input.pod).any(|(_, container)| {
            confines(container.security_context.as_ref().and_then(|own| own.app_armor_profile.as_ref()))
        })
        || annotations
            .filter(|(key, _)| key.starts_with(labels::APPARMOR_PREFIX))
            .any(|(_, profile)| !matches!(profile.as_str(), "" | "unconfined"))
}
