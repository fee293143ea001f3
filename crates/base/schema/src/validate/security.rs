//! Security contexts of containers and of the pod.

use std::collections::BTreeSet;

use types::corev1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
    WindowsSecurityContextOptions,
};

use crate::field::{Errors, Path, list};
use crate::names;

/// User and group ids.
const IDS: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;
/// A path name of Linux without its end.
const MAX_PROFILE_NAME: usize = 4095;

fn id(errors: &mut Errors, path: &Path, value: Option<i64>) {
    if let Some(value) = value {
        errors.in_range(path, value, IDS);
    }
}

pub(super) fn container(errors: &mut Errors, path: &Path, context: &SecurityContext, spec: &PodSpec) {
    id(errors, &path.key("runAsUser"), context.run_as_user);
    id(errors, &path.key("runAsGroup"), context.run_as_group);
    let proc_mount = context.proc_mount.as_deref();
    errors.optional_one_of(&path.key("procMount"), proc_mount, &["Default", "Unmasked"]);
    if proc_mount == Some("Unmasked") && spec.host_users != Some(false) {
        errors.invalid(&path.key("procMount"), "Unmasked", "needs hostUsers to be false");
    }
    if context.allow_privilege_escalation == Some(false) {
        let path = path.key("allowPrivilegeEscalation");
        if context.privileged == Some(true) {
            errors.invalid(&path, &false, "may not be false when privileged is true");
        }
        let added =
            context.capabilities.as_ref().map(|capabilities| list(&capabilities.add)).unwrap_or_default();
        if added.iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            errors.invalid(&path, &false, "may not be false when capabilities.add has CAP_SYS_ADMIN");
        }
    }
    seccomp(errors, &path.key("seccompProfile"), context.seccomp_profile.as_ref());
    app_armor(errors, &path.key("appArmorProfile"), context.app_armor_profile.as_ref());
    windows(errors, &path.key("windowsOptions"), context.windows_options.as_ref(), spec);
    for (field, set) in [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("privileged", context.privileged.is_some()),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
    ] {
        not_on_windows(errors, &path.key(field), spec, set);
    }
}

pub(super) fn pod(errors: &mut Errors, path: &Path, context: &PodSecurityContext, spec: &PodSpec) {
    id(errors, &path.key("runAsUser"), context.run_as_user);
    id(errors, &path.key("runAsGroup"), context.run_as_group);
    id(errors, &path.key("fsGroup"), context.fs_group);
    for (index, group) in list(&context.supplemental_groups).iter().enumerate() {
        id(errors, &path.key("supplementalGroups").index(index), Some(*group));
    }
    for (field, value, supported) in [
        ("supplementalGroupsPolicy", &context.supplemental_groups_policy, ["Merge", "Strict"]),
        ("fsGroupChangePolicy", &context.fs_group_change_policy, ["Always", "OnRootMismatch"]),
        ("seLinuxChangePolicy", &context.se_linux_change_policy, ["MountOption", "Recursive"]),
    ] {
        errors.optional_one_of(&path.key(field), value.as_deref(), &supported);
    }
    sysctls(errors, &path.key("sysctls"), context, spec);
    seccomp(errors, &path.key("seccompProfile"), context.seccomp_profile.as_ref());
    app_armor(errors, &path.key("appArmorProfile"), context.app_armor_profile.as_ref());
    windows(errors, &path.key("windowsOptions"), context.windows_options.as_ref(), spec);
    for (field, set) in [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("fsGroup", context.fs_group.is_some()),
        ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
        ("sysctls", context.sysctls.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
        ("supplementalGroups", context.supplemental_groups.is_some()),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
    ] {
        not_on_windows(errors, &path.key(field), spec, set);
    }
}

fn not_on_windows(errors: &mut Errors, path: &Path, spec: &PodSpec, set: bool) {
    if set && spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        errors.forbidden(path, "may not be set for a windows pod");
    }
}

fn sysctls(errors: &mut Errors, path: &Path, context: &PodSecurityContext, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list(&context.sysctls).iter().enumerate() {
        let path = path.index(index).key("name");
        errors.name(&path, &sysctl.name, names::sysctl);
        let name = sysctl.name.replace('/', ".");
        let ipc = name.starts_with("fs.mqueue.")
            || name.starts_with("kernel.shm")
            || name.starts_with("kernel.msg")
            || name == "kernel.sem";
        if spec.host_network == Some(true) && name.starts_with("net.") {
            errors.invalid(&path, &sysctl.name, "may not be set when hostNetwork is true");
        }
        if spec.host_ipc == Some(true) && ipc {
            errors.invalid(&path, &sysctl.name, "may not be set when hostIPC is true");
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.duplicate(&path, &sysctl.name);
        }
    }
}

const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(errors: &mut Errors, path: &Path, profile: Option<&SeccompProfile>) {
    let Some(profile) = profile else { return };
    errors.one_of(&path.key("type"), Some(&profile.type_), &PROFILE_TYPES);
    let local = profile.localhost_profile.as_deref();
    if localhost(errors, path, &profile.type_, local)
        && let Some(name) = local
    {
        errors.rule(&path.key("localhostProfile"), name, names::descending_path);
    }
}

fn app_armor(errors: &mut Errors, path: &Path, profile: Option<&AppArmorProfile>) {
    let Some(profile) = profile else { return };
    errors.one_of(&path.key("type"), Some(&profile.type_), &PROFILE_TYPES);
    let local = profile.localhost_profile.as_deref();
    if localhost(errors, path, &profile.type_, local)
        && let Some(name) = local
    {
        let path = path.key("localhostProfile");
        if name.trim() != name {
            errors.invalid(&path, name, "must not have leading or trailing whitespace");
        } else if name.len() > MAX_PROFILE_NAME {
            errors.too_long(&path, MAX_PROFILE_NAME);
        }
    }
}

/// `localhostProfile` belongs to the type `Localhost`, and to no other. Whether there is one that may be looked at.
fn localhost(errors: &mut Errors, path: &Path, type_: &str, profile: Option<&str>) -> bool {
    let path = path.key("localhostProfile");
    match (type_, profile) {
        ("Localhost", None) => errors.required(&path, "must be set when type is Localhost"),
        ("Localhost", Some(name)) if name.trim().is_empty() => {
            errors.required(&path, "must be set when type is Localhost");
        }
        ("Localhost", Some(_)) => return true,
        (_, Some(name)) => errors.invalid(&path, name, "may only be set when type is Localhost"),
        (_, None) => {}
    }
    false
}

fn windows(
    errors: &mut Errors,
    path: &Path,
    options: Option<&WindowsSecurityContextOptions>,
    spec: &PodSpec,
) {
    let Some(options) = options else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "linux") {
        errors.forbidden(path, "may not be set for a linux pod");
    }
    if let Some(name) = &options.gmsa_credential_spec_name {
        errors.name(&path.key("gmsaCredentialSpecName"), name, names::dns_subdomain);
    }
    if let Some(credential) = &options.gmsa_credential_spec {
        let path = path.key("gmsaCredentialSpec");
        if credential.is_empty() {
            errors.invalid(&path, "", "may not be empty");
        } else if credential.len() > 64 * 1024 {
            errors.too_long(&path, 64 * 1024);
        }
    }
    if let Some(user) = &options.run_as_user_name {
        let path = path.key("runAsUserName");
        if user.is_empty() || user.chars().any(char::is_control) || user.split('\\').count() > 2 {
            errors.invalid(&path, user, "must be USER or DOMAIN\\USER, without control characters");
        }
    }
    if options.host_process == Some(true) && spec.host_network != Some(true) {
        errors.invalid(&path.key("hostProcess"), &true, "needs hostNetwork to be true");
    }
}
