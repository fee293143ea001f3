//! `ports` of containers.

use std::collections::BTreeSet;

use types::corev1::{Container, ContainerPort};

use crate::field::{Errors, Path, list};
use crate::names;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Port numbers.
pub(super) const NUMBERS: std::ops::RangeInclusive<i64> = 1..=65535;

pub(super) fn validate(errors: &mut Errors, path: &Path, ports: &[ContainerPort], host_network: bool) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            match names::port_name(name) {
                Err(detail) => errors.invalid(&path.key("name"), name, detail),
                Ok(()) if !seen.insert(name) => errors.duplicate(&path.key("name"), name),
                Ok(()) => {}
            }
        }
        match port.container_port {
            0 => errors.required(&path.key("containerPort"), ""),
            number => errors.in_range(&path.key("containerPort"), number.into(), NUMBERS),
        }
        if let Some(number) = port.host_port.filter(|&number| number != 0) {
            errors.in_range(&path.key("hostPort"), number.into(), NUMBERS);
            if host_network && number != port.container_port {
                errors.invalid(
                    &path.key("hostPort"),
                    &number,
                    "must be the same as containerPort when hostNetwork is true",
                );
            }
        }
        errors.one_of(&path.key("protocol"), port.protocol.as_deref(), &PROTOCOLS);
    }
}

/// Two containers that run at the same time may not take the same port of the node.
pub(super) fn host_conflicts<'a>(
    errors: &mut Errors,
    containers: impl IntoIterator<Item = (Path, &'a Container)>,
) {
    let mut taken = BTreeSet::new();
    for (path, container) in containers {
        for (index, port) in list(&container.ports).iter().enumerate() {
            let Some(number) = port.host_port.filter(|&number| number != 0) else { continue };
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let address = port.host_ip.as_deref().unwrap_or_default();
            if !taken.insert((protocol, address, number)) {
                let what = format!("{protocol}/{address}/{number}");
                errors.duplicate(&path.key("ports").index(index).key("hostPort"), &what);
            }
        }
    }
}
