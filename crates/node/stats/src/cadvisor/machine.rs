//! What the machine is, and whether it could be read.

use telemetry::metrics::{Declaration, Encoder, LabelSet, MetricKind, Stability};

use super::float;
use crate::machine::Machine;
use crate::moment::Moment;

const IDS: &[&str] = &["boot_id", "machine_id", "system_uuid"];

const fn declare(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Declaration {
    Declaration { name, help, stability: Stability::Unstated, kind: MetricKind::Gauge, labels }
}

/// A family with one number for the machine.
type Number = (Declaration, fn(&Machine) -> u64);

const NUMBERS: [Number; 8] = [
    (declare("machine_cpu_physical_cores", "Cores.", IDS), |machine| machine.topology.cores),
    (declare("machine_cpu_cores", "Logical CPUs.", IDS), |machine| machine.topology.cpus),
    (declare("machine_cpu_sockets", "Sockets.", IDS), |machine| machine.topology.sockets),
    (declare("machine_cpu_books", "Books, which hold sockets (s390x).", IDS), |machine| {
        machine.topology.books
    }),
    (declare("machine_cpu_drawers", "Drawers, which hold books (s390x).", IDS), |machine| {
        machine.topology.drawers
    }),
    (declare("machine_memory_bytes", "Memory.", IDS), |machine| machine.memory.total_bytes),
    (declare("machine_swap_bytes", "Swap space.", IDS), |machine| machine.memory.swap_total_bytes),
    // Telling it needs a library of the modules' maker; without that library cAdvisor has 0 too.
    (declare("machine_nvm_avg_power_budget_watts", "Power for non-volatile memory; always 0.", IDS), |_| 0),
];
const NVM: Declaration = declare(
    "machine_nvm_capacity",
    "Non-volatile memory by its mode; always 0.",
    &["boot_id", "machine_id", "system_uuid", "mode"],
);
const MODULES: Declaration = declare(
    "machine_dimm_count",
    "Memory modules by type.",
    &["boot_id", "machine_id", "system_uuid", "type"],
);
const MODULE_BYTES: Declaration = declare(
    "machine_dimm_capacity_bytes",
    "Memory by type of its modules.",
    &["boot_id", "machine_id", "system_uuid", "type"],
);
const VERSION: Declaration = declare(
    "cadvisor_version_info",
    "Versions; always 1. There is no cAdvisor here: its version is that of berth.",
    &["kernelVersion", "osVersion", "dockerVersion", "cadvisorVersion", "cadvisorRevision"],
);
const CONTAINER_ERROR: Declaration =
    declare("container_scrape_error", "1 if containers could not be read, else 0.", &[]);
const MACHINE_ERROR: Declaration =
    declare("machine_scrape_error", "1 if the machine could not be read, else 0.", &[]);

pub(super) fn declarations() -> impl Iterator<Item = Declaration> {
    let others = [NVM, MODULES, MODULE_BYTES, VERSION, CONTAINER_ERROR, MACHINE_ERROR];
    NUMBERS.into_iter().map(|(declaration, _)| declaration).chain(others)
}

/// Adds the machine as it was at the time of the reading; without one, that there is none.
pub(super) fn encode(encoder: &mut Encoder, machine: &Machine, read: Option<Moment>) {
    let at_ms = read.map(|moment| moment.at.as_millisecond());
    let ids = LabelSet::new(&[
        ("boot_id", &machine.boot_id),
        ("machine_id", &machine.machine_id),
        ("system_uuid", &machine.system_uuid),
    ]);
    let mut add = |family: &Declaration, labels: &LabelSet, more: &[(&str, &str)], value: f64, at_ms| {
        encoder.declared(family).sample_of(labels, more, value, at_ms);
    };
    for (family, number) in &NUMBERS {
        add(family, &ids, &[], float(number(machine)), at_ms);
    }
    for mode in ["memory_mode", "app_direct_mode"] {
        add(&NVM, &ids, &[("mode", mode)], 0.0, at_ms);
    }
    for (kind, modules) in &machine.modules {
        add(&MODULES, &ids, &[("type", kind)], float(modules.count), at_ms);
        add(&MODULE_BYTES, &ids, &[("type", kind)], float(modules.bytes), at_ms);
    }
    let versions = [
        ("kernelVersion", &*machine.kernel),
        ("osVersion", &machine.os),
        ("dockerVersion", ""),
        ("cadvisorVersion", env!("CARGO_PKG_VERSION")),
        ("cadvisorRevision", ""),
    ];
    let none = LabelSet::default();
    add(&VERSION, &none, &versions, 1.0, None);
    add(&CONTAINER_ERROR, &none, &[], f64::from(u8::from(read.is_none())), None);
    add(&MACHINE_ERROR, &none, &[], 0.0, None);
}
