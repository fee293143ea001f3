//! The values that unset fields of a Pod have (Kubernetes API reference, `Pod` v1: "Defaults to …").

use std::collections::BTreeMap;

use types::corev1::{
    Container, ContainerResizePolicy, EmptyDirVolumeSource, EphemeralContainer, HTTPGetAction, Lifecycle,
    ObjectFieldSelector, PodSecurityContext, PodSpec, Probe, ResourceFieldSelector, ResourceRequirements,
    Volume,
};
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use types::resources::{self, Half};
use types::{ContainerKind, Pod, Quantity};

use crate::field::list;
use crate::image::default_pull_policy;

type ResourceList = BTreeMap<String, ApiQuantity>;

/// `system-node-critical`.
const NODE_CRITICAL_PRIORITY: i32 = 2_000_001_000;

/// Sets every field that the API server would set on a pod that it is given, those of its Priority admission included.
/// Defaulting a defaulted pod changes nothing.
pub fn default_pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    default_spec(spec);
    let host_network = spec.host_network.unwrap_or(false);
    for container in &mut spec.containers {
        default_container(container, host_network);
        default_resize_policy(container);
    }
    for container in spec.init_containers.iter_mut().flatten() {
        default_container(container, host_network);
        if ContainerKind::of_init(container) == ContainerKind::Sidecar {
            default_resize_policy(container);
        }
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        default_ephemeral(container);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        default_volume(volume);
    }
    default_pod_resources(pod);
}

fn set<T>(field: &mut Option<T>, value: T) {
    if field.is_none() {
        *field = Some(value);
    }
}

/// Sets a text that is absent or empty; the API does not tell the two apart.
fn set_text(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

fn default_spec(spec: &mut PodSpec) {
    set_text(&mut spec.restart_policy, "Always");
    set_text(&mut spec.dns_policy, "ClusterFirst");
    set_text(&mut spec.scheduler_name, "default-scheduler");
    set_text(&mut spec.preemption_policy, "PreemptLowerPriority");
    set(&mut spec.termination_grace_period_seconds, types::pod::DEFAULT_GRACE_PERIOD_SECONDS);
    set(&mut spec.enable_service_links, true);
    set(&mut spec.security_context, PodSecurityContext::default());
    let priority = match spec.priority_class_name.as_deref() {
        Some("system-node-critical") => NODE_CRITICAL_PRIORITY,
        Some("system-cluster-critical") => types::pod::CRITICAL_PRIORITY,
        _ => 0,
    };
    set(&mut spec.priority, priority);
    canonical(&mut spec.overhead);
}

fn default_container(container: &mut Container, host_network: bool) {
    set_text(&mut container.termination_message_path, "/dev/termination-log");
    set_text(&mut container.termination_message_policy, "File");
    let policy = default_pull_policy(container.image.as_deref().unwrap_or_default());
    set_text(&mut container.image_pull_policy, policy);
    for port in container.ports.iter_mut().flatten() {
        set_text(&mut port.protocol, "TCP");
        if host_network && port.host_port.unwrap_or(0) == 0 {
            port.host_port = Some(port.container_port);
        }
    }
    let probes =
        [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    for probe in probes.into_iter().flatten() {
        default_probe(probe);
    }
    default_lifecycle(&mut container.lifecycle);
    for variable in container.env.iter_mut().flatten() {
        let Some(from) = &mut variable.value_from else { continue };
        default_field_refs(&mut from.field_ref, &mut from.resource_field_ref);
    }
    if let Some(own) = &mut container.resources {
        default_resources(own);
    }
}

/// The fields of an ephemeral container that a debugger may set.
fn default_ephemeral(container: &mut EphemeralContainer) {
    set_text(&mut container.termination_message_path, "/dev/termination-log");
    set_text(&mut container.termination_message_policy, "File");
    let policy = default_pull_policy(container.image.as_deref().unwrap_or_default());
    set_text(&mut container.image_pull_policy, policy);
    for variable in container.env.iter_mut().flatten() {
        let Some(from) = &mut variable.value_from else { continue };
        default_field_refs(&mut from.field_ref, &mut from.resource_field_ref);
    }
}

fn default_probe(probe: &mut Probe) {
    // Zero is what an unset number is to the API server.
    for (field, value) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or(0) == 0 {
            *field = Some(value);
        }
    }
    default_http(&mut probe.http_get);
    if let Some(grpc) = &mut probe.grpc {
        set(&mut grpc.service, String::new());
    }
}

fn default_lifecycle(lifecycle: &mut Option<Lifecycle>) {
    let Some(lifecycle) = lifecycle else { return };
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
        default_http(&mut handler.http_get);
    }
}

fn default_http(action: &mut Option<HTTPGetAction>) {
    if let Some(action) = action {
        set_text(&mut action.path, "/");
        set_text(&mut action.scheme, "HTTP");
    }
}

fn default_field_refs(field: &mut Option<ObjectFieldSelector>, resource: &mut Option<ResourceFieldSelector>) {
    if let Some(field) = field {
        set_text(&mut field.api_version, "v1");
    }
    if let Some(resource) = resource {
        set(&mut resource.divisor, ApiQuantity("0".to_owned()));
    }
}

/// Amounts in canonical form, and what is limited but not requested is requested as much as it is limited.
fn default_resources(own: &mut ResourceRequirements) {
    canonical(&mut own.limits);
    canonical(&mut own.requests);
    let Some(limits) = own.limits.as_ref().filter(|limits| !limits.is_empty()) else { return };
    let requests = own.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

/// Writes amounts as the API server gives them back: canonical, and nothing finer than a thousandth. What is no
/// quantity stays, for validation to name.
fn canonical(amounts: &mut Option<ResourceList>) {
    for amount in amounts.iter_mut().flat_map(BTreeMap::values_mut) {
        let Ok(parsed) = Quantity::of(amount) else { continue };
        let thousandths = parsed.nanos() % 1_000_000 != 0;
        *amount = if thousandths { Quantity::milli(parsed.milli_value()) } else { parsed }.to_api();
    }
}

/// CPU and memory that a container asks for can be resized in place without its restart (KEP-1287). Init containers
/// that run to their end are not resized.
fn default_resize_policy(container: &mut Container) {
    let Some(own) = &container.resources else { return };
    let given =
        |name: &str| [&own.requests, &own.limits].into_iter().flatten().any(|half| half.contains_key(name));
    let known = |name: &str| list(&container.resize_policy).iter().any(|policy| policy.resource_name == name);
    let missing: Vec<ContainerResizePolicy> = [resources::CPU, resources::MEMORY]
        .into_iter()
        .filter(|name| given(name) && !known(name))
        .map(|name| ContainerResizePolicy {
            resource_name: name.to_owned(),
            restart_policy: "NotRequired".to_owned(),
        })
        .collect();
    if !missing.is_empty() {
        container.resize_policy.get_or_insert_default().extend(missing);
    }
}

/// Resources of the pod as a whole (KEP-2837): a limit of huge pages that only containers have becomes the pod's; a
/// request that is missing is the sum of the containers', or else the pod's limit.
fn default_pod_resources(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    let Some(mut own) = spec.resources.take() else { return };
    canonical(&mut own.limits);
    canonical(&mut own.requests);
    let huge = |name: &str| name.starts_with(resources::HUGEPAGES_PREFIX);
    let whole = |name: &str| name == resources::CPU || name == resources::MEMORY;

    for (name, sum) in resources::of_containers(pod, Half::Limits) {
        if huge(&name) {
            own.limits.get_or_insert_default().entry(name).or_insert_with(|| sum.to_api());
        }
    }
    let mut requests = own.requests.take().unwrap_or_default();
    for (name, sum) in resources::of_containers(pod, Half::Requests) {
        if whole(&name) {
            requests.entry(name).or_insert_with(|| sum.to_api());
        }
    }
    for (name, limit) in own.limits.iter().flatten() {
        if whole(name) || huge(name) {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    own.requests = Some(requests).filter(|requests| !requests.is_empty());
    if let Some(spec) = &mut pod.spec {
        spec.resources = Some(own);
    }
}

/// Mode of the files of volumes that are written from data: 0644.
const FILE_MODE: i32 = 0o644;

fn default_volume(volume: &mut Volume) {
    if crate::validate::volume_sources(volume).next().is_none() {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        set(&mut host_path.type_, String::new());
    }
    if let Some(empty_dir) = &mut volume.empty_dir
        && let Some(limit) = &mut empty_dir.size_limit
        && let Ok(parsed) = Quantity::of(limit)
    {
        *limit = parsed.to_api();
    }
    if let Some(secret) = &mut volume.secret {
        set(&mut secret.default_mode, FILE_MODE);
    }
    if let Some(config_map) = &mut volume.config_map {
        set(&mut config_map.default_mode, FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        set(&mut downward.default_mode, FILE_MODE);
        for item in downward.items.iter_mut().flatten() {
            default_field_refs(&mut item.field_ref, &mut item.resource_field_ref);
        }
    }
    if let Some(projected) = &mut volume.projected {
        set(&mut projected.default_mode, FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            for item in
                source.downward_api.iter_mut().flat_map(|downward| downward.items.iter_mut().flatten())
            {
                default_field_refs(&mut item.field_ref, &mut item.resource_field_ref);
            }
            if let Some(token) = &mut source.service_account_token {
                set(&mut token.expiration_seconds, 3600);
            }
            if let Some(certificate) = &mut source.pod_certificate {
                set(&mut certificate.max_expiration_seconds, 86_400);
            }
        }
    }
    if let Some(image) = &mut volume.image {
        let policy = default_pull_policy(image.reference.as_deref().unwrap_or_default());
        set_text(&mut image.pull_policy, policy);
    }
    if let Some(iscsi) = &mut volume.iscsi {
        set_text(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut volume.rbd {
        set_text(&mut rbd.pool, "rbd");
        set_text(&mut rbd.user, "admin");
        set_text(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(disk) = &mut volume.azure_disk {
        set_text(&mut disk.caching_mode, "ReadWrite");
        set_text(&mut disk.kind, "Shared");
        set_text(&mut disk.fs_type, "ext4");
        set(&mut disk.read_only, false);
    }
    if let Some(scale_io) = &mut volume.scale_io {
        set_text(&mut scale_io.storage_mode, "ThinProvisioned");
        set_text(&mut scale_io.fs_type, "xfs");
    }
    if let Some(template) =
        volume.ephemeral.as_mut().and_then(|ephemeral| ephemeral.volume_claim_template.as_mut())
    {
        set_text(&mut template.spec.volume_mode, "Filesystem");
    }
}

#[cfg(test)]
mod tests;
