//! The environment variables by which containers find services (Kubernetes: "Service", environment variables).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use types::corev1::Service;
use types::{Pod, pod};

use crate::variable::Variable;

/// A service that has an address of its own, as far as containers are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceLink {
    /// Its name.
    pub name: String,
    /// `spec.clusterIP`.
    pub cluster_ip: String,
    /// Its ports; at least one.
    pub ports: Vec<ServicePort>,
}

/// A port of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Its name; empty if it has none.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: i32,
}

impl ServiceLink {
    /// What containers are told of `service`. `None` if it has no address: it is headless or has none yet.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let cluster_ip = spec.cluster_ip.clone().filter(|ip| !ip.is_empty() && ip != "None")?;
        let ports: Vec<_> = spec
            .ports
            .iter()
            .flatten()
            .map(|port| ServicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: port
                    .protocol
                    .clone()
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| "TCP".to_owned()),
                number: port.port,
            })
            .collect();
        let name = service.metadata.name.clone()?;
        (!ports.is_empty()).then_some(Self { name, cluster_ip, ports })
    }

    /// Its variables: `NAME_SERVICE_HOST` and the like, and those that Docker's links had.
    fn variables(&self) -> Vec<Variable> {
        let name = screaming(&self.name);
        let mut all = Vec::new();
        let mut set = |name: String, value: &str| all.push(Variable { name, value: value.into() });
        let Some(first) = self.ports.first() else { return all };
        set(format!("{name}_SERVICE_HOST"), &self.cluster_ip);
        set(format!("{name}_SERVICE_PORT"), &first.number.to_string());
        for port in self.ports.iter().filter(|port| !port.name.is_empty()) {
            set(format!("{name}_SERVICE_PORT_{}", screaming(&port.name)), &port.number.to_string());
        }
        set(format!("{name}_PORT"), &self.url(first));
        for port in &self.ports {
            let prefix = format!("{name}_PORT_{}_{}", port.number, port.protocol.to_uppercase());
            set(prefix.clone(), &self.url(port));
            set(format!("{prefix}_PROTO"), &port.protocol.to_lowercase());
            set(format!("{prefix}_PORT"), &port.number.to_string());
            set(format!("{prefix}_ADDR"), &self.cluster_ip);
        }
        all
    }

    fn url(&self, port: &ServicePort) -> String {
        let mut url = format!("{}://", port.protocol.to_lowercase());
        let v6 = self.cluster_ip.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6());
        // Writing to a string cannot fail.
        let _ = if v6 {
            write!(url, "[{}]:{}", self.cluster_ip, port.number)
        } else {
            write!(url, "{}:{}", self.cluster_ip, port.number)
        };
        url
    }
}

/// Services by namespace and name.
pub type Services = BTreeMap<String, BTreeMap<String, ServiceLink>>;

/// The services of `all` that containers of `pod` are told of: those of its namespace, unless `enableServiceLinks` says
/// no, and the API server's own in any case, since clients look there for it.
#[must_use]
pub fn linked(pod: &Pod, all: &Services) -> Vec<ServiceLink> {
    let mut found = BTreeMap::new();
    let of = |namespace: &str| all.get(namespace).into_iter().flatten();
    found.extend(of("default").filter(|(name, _)| *name == "kubernetes"));
    if pod::spec(pod).enable_service_links != Some(false) {
        found.extend(of(pod.metadata.namespace.as_deref().unwrap_or_default()));
    }
    found.into_values().cloned().collect()
}

/// The variables of `services`, by name of service.
#[must_use]
pub fn service_variables(services: &[ServiceLink]) -> Vec<Variable> {
    let mut services: Vec<_> = services.iter().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services.into_iter().flat_map(ServiceLink::variables).collect()
}

/// A name as it is in names of variables.
fn screaming(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn link(name: &str, spec: Value) -> Option<ServiceLink> {
        ServiceLink::of(&serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap())
    }

    fn shown(services: &[ServiceLink]) -> Vec<String> {
        let text =
            |variable: Variable| format!("{}={}", variable.name, String::from_utf8(variable.value).unwrap());
        service_variables(services).into_iter().map(text).collect()
    }

    #[test]
    fn variables_of_services() {
        let web = json!({"clusterIP": "10.96.0.7", "ports": [
            {"name": "http-alt", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]});
        let six = json!({"clusterIP": "fd00::1", "ports": [{"port": 80}]});
        let services = [link("web-app", web).unwrap(), link("six", six).unwrap()];
        assert_eq!(
            shown(&services),
            [
                "SIX_SERVICE_HOST=fd00::1",
                "SIX_SERVICE_PORT=80",
                "SIX_PORT=tcp://[fd00::1]:80",
                "SIX_PORT_80_TCP=tcp://[fd00::1]:80",
                "SIX_PORT_80_TCP_PROTO=tcp",
                "SIX_PORT_80_TCP_PORT=80",
                "SIX_PORT_80_TCP_ADDR=fd00::1",
                "WEB_APP_SERVICE_HOST=10.96.0.7",
                "WEB_APP_SERVICE_PORT=8080",
                "WEB_APP_SERVICE_PORT_HTTP_ALT=8080",
                "WEB_APP_SERVICE_PORT_DNS=53",
                "WEB_APP_PORT=tcp://10.96.0.7:8080",
                "WEB_APP_PORT_8080_TCP=tcp://10.96.0.7:8080",
                "WEB_APP_PORT_8080_TCP_PROTO=tcp",
                "WEB_APP_PORT_8080_TCP_PORT=8080",
                "WEB_APP_PORT_8080_TCP_ADDR=10.96.0.7",
                "WEB_APP_PORT_53_UDP=udp://10.96.0.7:53",
                "WEB_APP_PORT_53_UDP_PROTO=udp",
                "WEB_APP_PORT_53_UDP_PORT=53",
                "WEB_APP_PORT_53_UDP_ADDR=10.96.0.7",
            ]
        );
    }

    #[test]
    fn services_of_the_namespace_and_the_api_server() {
        let mut all = Services::new();
        for (namespace, name, ip) in [
            ("default", "kubernetes", "10.96.0.1"),
            ("default", "other", "10.96.0.2"),
            ("shop", "web", "10.96.0.3"),
            ("shadow", "kubernetes", "10.96.0.4"),
        ] {
            let link = link(name, json!({"clusterIP": ip, "ports": [{"port": 1}]})).unwrap();
            all.entry(namespace.to_owned()).or_default().insert(name.to_owned(), link);
        }
        for (namespace, links, expected) in [
            ("shop", json!(null), &["10.96.0.1", "10.96.0.3"][..]),
            ("shop", json!(false), &["10.96.0.1"]),
            ("default", json!(true), &["10.96.0.1", "10.96.0.2"]),
            ("shadow", json!(true), &["10.96.0.4"]),
            ("empty", json!(true), &["10.96.0.1"]),
        ] {
            let pod = json!({"metadata": {"namespace": namespace}, "spec": {"enableServiceLinks": links, "containers": []}});
            let found = linked(&serde_json::from_value(pod).unwrap(), &all);
            let ips: Vec<_> = found.iter().map(|link| link.cluster_ip.as_str()).collect();
            assert_eq!(ips, expected, "{namespace} {links}");
        }
    }

    #[test]
    fn what_has_no_address_is_left_out() {
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({"clusterIP": "", "ports": [{"port": 80}]}),
            json!({"ports": [{"port": 80}]}),
            json!({"clusterIP": "10.0.0.1"}),
        ] {
            assert_eq!(link("a", spec), None);
        }
    }
}
