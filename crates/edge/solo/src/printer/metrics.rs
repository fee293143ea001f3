//! What nodes and pods use.

use serde_json::Value;
use types::Quantity;

use super::{Printer, text};
use crate::object;

pub(crate) const NODE_METRICS: Printer = Printer {
    columns: &[text("CPU"), text("Memory"), text("Window")],
    cells: |metrics, _| cells(metrics, std::slice::from_ref(&metrics["usage"])),
};

pub(crate) const POD_METRICS: Printer = Printer {
    columns: &[text("CPU"), text("Memory"), text("Window")],
    cells: |metrics, _| {
        let containers = object::list(metrics, "/containers");
        cells(metrics, &containers.iter().map(|container| container["usage"].clone()).collect::<Vec<_>>())
    },
};

/// Sums, and over which time.
fn cells(metrics: &Value, usages: &[Value]) -> Vec<Value> {
    let sum = |what: &str, zero: Quantity| -> Value {
        let parts = usages.iter().filter_map(|usage| usage[what].as_str()?.parse::<Quantity>().ok());
        parts.fold(zero, |sum, part| sum + part).to_string().into()
    };
    let window = object::text(metrics, "/window");
    vec![sum("cpu", Quantity::ZERO), sum("memory", Quantity::bytes(0)), window.into()]
}
