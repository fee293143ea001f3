//! Network interfaces, of the node and of sandboxes.

use linux::netdev::Interface;

use super::target::Target;
use super::{Family, Samples, counter, float};

const BY: &[&str] = labels!("interface");

pub(super) const FAMILIES: &[Family] = &[
    counter("container_network_receive_bytes_total", "Bytes received.", |target, samples| {
        each(target, samples, |interface| interface.received.bytes);
    })
    .by(BY),
    counter("container_network_receive_packets_total", "Packets received.", |target, samples| {
        each(target, samples, |interface| interface.received.packets);
    })
    .by(BY),
    counter(
        "container_network_receive_packets_dropped_total",
        "Packets received and thrown away.",
        |target, samples| each(target, samples, |interface| interface.received.dropped),
    )
    .by(BY),
    counter("container_network_receive_errors_total", "Damaged packets received.", |target, samples| {
        each(target, samples, |interface| interface.received.errors);
    })
    .by(BY),
    counter("container_network_transmit_bytes_total", "Bytes sent.", |target, samples| {
        each(target, samples, |interface| interface.sent.bytes);
    })
    .by(BY),
    counter("container_network_transmit_packets_total", "Packets sent.", |target, samples| {
        each(target, samples, |interface| interface.sent.packets);
    })
    .by(BY),
    counter(
        "container_network_transmit_packets_dropped_total",
        "Packets to be sent and thrown away.",
        |target, samples| each(target, samples, |interface| interface.sent.dropped),
    )
    .by(BY),
    counter(
        "container_network_transmit_errors_total",
        "Packets that could not be sent.",
        |target, samples| {
            each(target, samples, |interface| interface.sent.errors);
        },
    )
    .by(BY),
];

fn each(target: &Target<'_>, samples: &mut Samples<'_, '_>, count: fn(&Interface) -> u64) {
    for interface in target.network {
        samples.with(&[("interface", &interface.name)], float(count(interface)));
    }
}
