//! Tables, as `kubectl get` shows them (KEP-1152, server-side printing).

mod metrics;
mod node;
mod objects;
mod pod;
mod storage;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::object;
use crate::resource::Resource;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    kind: &'static str,
    /// Columns above 0 are shown by `-o wide` only.
    priority: u8,
}

/// How objects of a kind become rows. The first column is always the name.
#[derive(Debug)]
pub(crate) struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 0 }
}

const fn integer(name: &'static str) -> Column {
    Column { name, kind: "integer", priority: 0 }
}

const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 1 }
}

const AGE: Column = text("Age");

pub(crate) use metrics::{NODE_METRICS, POD_METRICS};
pub(crate) use node::NODES;
pub(crate) use objects::{
    CONFIG_MAPS, EVENTS, LEASES, NAMESPACES, PRIORITY_CLASSES, RUNTIME_CLASSES, SECRETS, SERVICE_ACCOUNTS,
    SERVICES, SIGNING_REQUESTS,
};
pub(crate) use pod::PODS;
pub(crate) use storage::{ATTACHMENTS, CLAIMS, CSI_DRIVERS, CSI_NODES, STORAGE_CLASSES, VOLUMES};

/// For kinds without a table of their own.
pub(crate) const DEFAULT: Printer = Printer {
    columns: &[text("Created At")],
    cells: |object, _| vec![object::text(object, "/metadata/creationTimestamp").into()],
};

/// How much of the object goes with its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "None" => Self::Nothing,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// A table with a row for each of the stored objects. Its list metadata is the caller's to add.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl Iterator<Item = &'a Value>,
    include: Include,
    with_columns: bool,
) -> Value {
    let now = Timestamp::now();
    let rows: Vec<Value> = objects.map(|stored| row(resource, stored, include, now)).collect();
    let columns = if with_columns { columns(resource.printer) } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows})
}

fn columns(printer: &Printer) -> Vec<Value> {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0});
    let others = printer.columns.iter().map(|column| {
        json!({"name": column.name, "type": column.kind, "format": "", "description": "", "priority": column.priority})
    });
    std::iter::once(name).chain(others).collect()
}

fn row(resource: &Resource, stored: &Value, include: Include, now: Timestamp) -> Value {
    let mut cells = vec![Value::from(object::name(stored))];
    cells.extend((resource.printer.cells)(stored, now));
    let mut row = Map::new();
    row.insert("cells".to_owned(), cells.into());
    match include {
        Include::Nothing => {}
        Include::Metadata => {
            row.insert("object".to_owned(), partial(stored));
        }
        Include::Object => {
            row.insert("object".to_owned(), resource.shown(stored));
        }
    }
    row.into()
}

/// Only the metadata of an object.
pub(crate) fn partial(stored: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored["metadata"]})
}

fn age(object: &Value, now: Timestamp) -> Value {
    crate::time::age(object::text(object, "/metadata/creationTimestamp"), now).into()
}

/// The text, or a word for none.
fn or<'a>(text: &'a str, none: &'a str) -> &'a str {
    if text.is_empty() { none } else { text }
}

/// The keys of the map at `pointer`, counted.
fn count(object: &Value, pointer: &str) -> usize {
    match object.pointer(pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

/// The texts of a list, joined by commas.
fn joined(object: &Value, pointer: &str) -> String {
    object::list(object, pointer).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
