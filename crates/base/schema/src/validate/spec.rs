//! `spec`: what is of the pod as a whole, and the order of all the rest.

use types::corev1::PodSpec;

use super::mounts::Volumes;
use super::{container, network, resources, scheduling, security, volumes};
use crate::field::{Errors, Path, list};
use crate::names;

pub(super) fn validate(errors: &mut Errors, spec: &PodSpec) {
    let path = Path::root("spec");
    volumes::validate(errors, &path.key("volumes"), list(&spec.volumes));
    let by_name: Volumes<'_> =
        list(&spec.volumes).iter().map(|volume| (volume.name.as_str(), volume)).collect();
    container::validate(errors, &path, spec, &by_name);
    whole(errors, &path, spec);
    if let Some(context) = &spec.security_context {
        security::pod(errors, &path.key("securityContext"), context, spec);
    }
    resources::pod_level(errors, &path.key("resources"), spec);
    if let Some(overhead) = &spec.overhead {
        resources::overhead(errors, &path.key("overhead"), overhead);
    }
    network::validate(errors, &path, spec);
    scheduling::validate(errors, &path, spec);
}

fn whole(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    errors.one_of(
        &path.key("restartPolicy"),
        spec.restart_policy.as_deref(),
        &["Always", "Never", "OnFailure"],
    );
    errors.not_negative(&path.key("terminationGracePeriodSeconds"), spec.termination_grace_period_seconds);
    if let Some(seconds) = spec.active_deadline_seconds {
        errors.in_range(&path.key("activeDeadlineSeconds"), seconds, 1..=i64::from(i32::MAX));
    }
    for (field, name) in [
        ("serviceAccountName", &spec.service_account_name),
        ("nodeName", &spec.node_name),
        ("priorityClassName", &spec.priority_class_name),
        ("runtimeClassName", &spec.runtime_class_name),
        ("schedulerName", &spec.scheduler_name),
    ] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            errors.rule(&path.key(field), name, names::dns_subdomain);
        }
    }
    if let Some(os) = &spec.os {
        errors.one_of(&path.key("os").key("name"), Some(&os.name), &["linux", "windows"]);
    }
    for (index, secret) in list(&spec.image_pull_secrets).iter().enumerate() {
        if secret.name.is_empty() {
            errors.required(&path.key("imagePullSecrets").index(index).key("name"), "");
        }
    }
}
