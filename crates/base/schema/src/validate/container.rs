//! `containers`, `initContainers` (sidecars among them) and `ephemeralContainers`.

use std::collections::BTreeSet;

use types::corev1::{Container, ContainerRestartRule, PodSpec, ResourceRequirements};
use types::{ContainerKind, pod};

use super::mounts::Volumes;
use super::{env, lifecycle, mounts, ports, resources, security};
use crate::field::{Errors, Path, list};
use crate::names;

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
/// Most rules of one container, and most exit codes of one rule (KEP-5307).
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;

pub(super) fn validate(errors: &mut Errors, path: &Path, spec: &PodSpec, volumes: &Volumes<'_>) {
    let mut names = BTreeSet::new();
    let init = list(&spec.init_containers);
    let at = path.key("containers");
    if spec.containers.is_empty() {
        errors.required(&at, "");
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let path = at.index(index);
        common(errors, &path, ContainerKind::Regular, container, spec, volumes);
        unique(errors, &path, &mut names, &container.name);
    }
    let at = path.key("initContainers");
    for (index, container) in init.iter().enumerate() {
        let (path, kind) = (at.index(index), ContainerKind::of_init(container));
        common(errors, &path, kind, container, spec, volumes);
        unique(errors, &path, &mut names, &container.name);
        if kind == ContainerKind::Init {
            run_to_the_end(errors, &path, container);
            ports::host_conflicts(errors, [(path, container)]);
        }
    }
    let sidecars = init
        .iter()
        .enumerate()
        .filter(|(_, container)| ContainerKind::of_init(container) == ContainerKind::Sidecar)
        .map(|(index, container)| (at.index(index), container));
    let regular = spec.containers.iter().enumerate();
    let regular = regular.map(|(index, container)| (path.key("containers").index(index), container));
    ports::host_conflicts(errors, sidecars.chain(regular));
    ephemeral(errors, &path.key("ephemeralContainers"), spec, volumes, &mut names);
}

fn unique<'a>(errors: &mut Errors, path: &Path, names: &mut BTreeSet<&'a str>, name: &'a str) {
    if !name.is_empty() && !names.insert(name) {
        errors.duplicate(&path.key("name"), name);
    }
}

/// What holds for containers of every kind.
fn common(
    errors: &mut Errors,
    path: &Path,
    kind: ContainerKind,
    container: &Container,
    spec: &PodSpec,
    volumes: &Volumes<'_>,
) {
    errors.name(&path.key("name"), &container.name, names::dns_label);
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        errors.required(&path.key("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.key("image"), image, "must not have leading or trailing whitespace");
    }
    errors.one_of(
        &path.key("terminationMessagePolicy"),
        container.termination_message_policy.as_deref(),
        &["FallbackToLogsOnError", "File"],
    );
    errors.one_of(
        &path.key("imagePullPolicy"),
        container.image_pull_policy.as_deref(),
        &["Always", "IfNotPresent", "Never"],
    );
    let host_network = spec.host_network.unwrap_or(false);
    ports::validate(errors, &path.key("ports"), list(&container.ports), host_network);
    env::variables(errors, &path.key("env"), list(&container.env));
    env::from(errors, &path.key("envFrom"), list(&container.env_from));
    mounts::validate(errors, path, container, volumes);
    if spec.host_users == Some(false) && !list(&container.volume_devices).is_empty() {
        errors.forbidden(&path.key("volumeDevices"), "may not be set when hostUsers is false");
    }
    resources::container(errors, path, container, spec);
    resources::resize_policy(errors, path, container, spec.restart_policy.as_deref());
    if let Some(context) = &container.security_context {
        security::container(errors, &path.key("securityContext"), context, spec);
    }
    if kind != ContainerKind::Ephemeral {
        probes(errors, path, container, spec);
        restart_rules(errors, path, container);
    }
}

fn probes(errors: &mut Errors, path: &Path, container: &Container, spec: &PodSpec) {
    use lifecycle::ProbeKind::{Liveness, Readiness, Startup};
    for (field, kind, probe) in [
        ("livenessProbe", Liveness, &container.liveness_probe),
        ("readinessProbe", Readiness, &container.readiness_probe),
        ("startupProbe", Startup, &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            lifecycle::probe(errors, &path.key(field), kind, probe);
        }
    }
    if let Some(hooks) = &container.lifecycle {
        let grace = spec.termination_grace_period_seconds.unwrap_or(pod::DEFAULT_GRACE_PERIOD_SECONDS);
        let os = spec.os.as_ref().map(|os| os.name.as_str());
        lifecycle::lifecycle(errors, &path.key("lifecycle"), hooks, grace, os);
    }
}

/// `restartPolicy` and `restartPolicyRules` of one container (KEP-5307).
fn restart_rules(errors: &mut Errors, path: &Path, container: &Container) {
    let policy = container.restart_policy.as_deref();
    errors.optional_one_of(&path.key("restartPolicy"), policy, &POLICIES);
    let rules = list(&container.restart_policy_rules);
    let path = path.key("restartPolicyRules");
    if !rules.is_empty() && policy.is_none() {
        errors.required(&path, "restartPolicy must be set together with restartPolicyRules");
    }
    if rules.len() > MAX_RULES {
        errors.too_many(&path, rules.len(), MAX_RULES);
    }
    for (index, rule) in rules.iter().enumerate() {
        restart_rule(errors, &path.index(index), rule);
    }
}

fn restart_rule(errors: &mut Errors, path: &Path, rule: &ContainerRestartRule) {
    errors.one_of(&path.key("action"), Some(&rule.action), &["Restart", "RestartAllContainers"]);
    let path = path.key("exitCodes");
    let Some(codes) = &rule.exit_codes else { return errors.required(&path, "") };
    errors.one_of(&path.key("operator"), Some(&codes.operator), &["In", "NotIn"]);
    let values = list(&codes.values);
    let path = path.key("values");
    if values.is_empty() {
        errors.required(&path, "must name at least one exit code");
    }
    if values.len() > MAX_CODES {
        errors.too_many(&path, values.len(), MAX_CODES);
    }
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        if !seen.insert(value) {
            errors.duplicate(&path.index(index), &value.to_string());
        }
    }
}

/// An init container that is not a sidecar ends before anything could ask whether it lives.
fn run_to_the_end(errors: &mut Errors, path: &Path, container: &Container) {
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("resizePolicy", !list(&container.resize_policy).is_empty()),
    ] {
        if set {
            errors
                .forbidden(&path.key(field), "may only be set for init containers with restartPolicy Always");
        }
    }
}

fn ephemeral<'a>(
    errors: &mut Errors,
    path: &Path,
    spec: &'a PodSpec,
    volumes: &Volumes<'_>,
    names: &mut BTreeSet<&'a str>,
) {
    let containers = list(&spec.ephemeral_containers);
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        let plain = pod::ephemeral_as_container(container);
        common(errors, &path, ContainerKind::Ephemeral, &plain, spec, volumes);
        unique(errors, &path, names, &container.name);
        if let Some(target) = container.target_container_name.as_deref().filter(|target| !target.is_empty()) {
            let mut others = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            if !others.any(|other| other.name == target) {
                errors.not_found(&path.key("targetContainerName"), target);
            }
        }
        for (field, set) in [
            ("ports", container.ports.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
            ("lifecycle", container.lifecycle.is_some()),
            // kubectl debug sends them empty.
            (
                "resources",
                container.resources.as_ref().is_some_and(|set| *set != ResourceRequirements::default()),
            ),
            ("resizePolicy", container.resize_policy.is_some()),
            ("restartPolicy", container.restart_policy.is_some()),
            ("restartPolicyRules", container.restart_policy_rules.is_some()),
        ] {
            if set {
                errors.forbidden(&path.key(field), "may not be set for ephemeral containers");
            }
        }
        for (index, mount) in list(&container.volume_mounts).iter().enumerate() {
            let path = path.key("volumeMounts").index(index);
            for (field, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
                if value.as_deref().is_some_and(|value| !value.is_empty()) {
                    errors.forbidden(&path.key(field), "may not be set for ephemeral containers");
                }
            }
        }
    }
}
