//! Host names, DNS, and the namespaces of the node.

use types::corev1::{HostAlias, PodDNSConfig, PodSpec};

use crate::field::{Errors, Path, list};
use crate::names;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// All search domains together with the blanks between them.
const MAX_SEARCH_BYTES: usize = 2048;
/// The longest name that Linux takes for a host.
const MAX_HOSTNAME: usize = 64;

pub(super) fn validate(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    host_names(errors, path, spec);
    for (index, alias) in list(&spec.host_aliases).iter().enumerate() {
        host_alias(errors, &path.key("hostAliases").index(index), alias);
    }
    errors.one_of(
        &path.key("dnsPolicy"),
        spec.dns_policy.as_deref(),
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    );
    dns_config(errors, &path.key("dnsConfig"), spec.dns_config.as_ref(), spec.dns_policy.as_deref());
    namespaces(errors, path, spec);
}

fn host_names(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    for (field, name) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            errors.rule(&path.key(field), name, names::dns_label);
        }
    }
    let Some(name) = &spec.hostname_override else { return };
    let path = path.key("hostnameOverride");
    if name.len() > MAX_HOSTNAME {
        errors.too_long(&path, MAX_HOSTNAME);
    }
    errors.name(&path, name, names::dns_subdomain);
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.forbidden(&path, "may not be set when setHostnameAsFQDN is true");
    }
    if spec.host_network == Some(true) {
        errors.forbidden(&path, "may not be set when hostNetwork is true");
    }
}

fn host_alias(errors: &mut Errors, path: &Path, alias: &HostAlias) {
    errors.name(&path.key("ip"), &alias.ip, names::ip);
    for (index, name) in list(&alias.hostnames).iter().enumerate() {
        errors.rule(&path.key("hostnames").index(index), name, names::dns_subdomain);
    }
}

fn dns_config(errors: &mut Errors, path: &Path, config: Option<&PodDNSConfig>, policy: Option<&str>) {
    let none = PodDNSConfig::default();
    let config = config.unwrap_or(&none);
    let servers = list(&config.nameservers);
    let at = path.key("nameservers");
    if policy == Some("None") && servers.is_empty() {
        errors.required(&at, "must name at least one DNS server when dnsPolicy is None");
    }
    if servers.len() > MAX_NAMESERVERS {
        errors.too_many(&at, servers.len(), MAX_NAMESERVERS);
    }
    for (index, server) in servers.iter().enumerate() {
        errors.rule(&at.index(index), server, names::ip);
    }
    let searches = list(&config.searches);
    let at = path.key("searches");
    if searches.len() > MAX_SEARCHES {
        errors.too_many(&at, searches.len(), MAX_SEARCHES);
    }
    let bytes = searches.iter().map(|domain| domain.len() + 1).sum::<usize>().saturating_sub(1);
    if bytes > MAX_SEARCH_BYTES {
        errors.too_long(&at, MAX_SEARCH_BYTES);
    }
    for (index, domain) in searches.iter().enumerate() {
        errors.rule(&at.index(index), domain, names::search_domain);
    }
    for (index, option) in list(&config.options).iter().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            errors.required(&path.key("options").index(index), "must have a name");
        }
    }
}

fn namespaces(errors: &mut Errors, path: &Path, spec: &PodSpec) {
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        errors.invalid(&path.key("shareProcessNamespace"), &true, "may not be true together with hostPID");
    }
    if spec.host_users == Some(false) {
        for (field, used) in
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        {
            if used == Some(true) {
                errors.forbidden(&path.key(field), "may not be true when hostUsers is false");
            }
        }
    }
}
