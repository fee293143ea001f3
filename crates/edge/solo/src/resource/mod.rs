//! The resources this server has: one row each, and all handlers work from the row.

mod codec;
mod event;
mod table;

use serde_json::Value;

pub(crate) use codec::Decode;
pub(crate) use table::RESOURCES;

use crate::printer::Printer;
use crate::rules::Rules;

/// A field by which lists and watches may be narrowed: its name in a field selector, and where it is.
pub(crate) type Selectable = (&'static str, &'static str);

/// How the same stored objects are shown in another group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// From the stored form.
    pub(crate) show: fn(&Value) -> Value,
    /// To the stored form.
    pub(crate) store: fn(Value) -> Value,
}

/// Where the objects of a resource are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeping {
    /// In the store.
    Stored,
    /// Nowhere: questions such as TokenReview are created, answered, and forgotten.
    Asked,
    /// Nowhere: what there is to say of stored objects of the same plural is found out when somebody asks.
    Measured,
}

/// One resource of one group and version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) namespaced: bool,
    /// In `kubectl get all`.
    pub(crate) in_all: bool,
    /// Below one object, as in `pods/log`.
    pub(crate) subresources: &'static [&'static str],
    /// `metadata.generation` counts the changes of its spec.
    pub(crate) counts_generations: bool,
    /// A status that is given on creation stays, though there is a status subresource.
    pub(crate) created_with_status: bool,
    pub(crate) keeping: Keeping,
    /// The name has to be a DNS label, not just a subdomain.
    pub(crate) name_is_label: bool,
    /// Where it is stored, as in `pods` or `leases.coordination.k8s.io`.
    pub(crate) store: &'static str,
    pub(crate) view: Option<View>,
    pub(crate) selectable: &'static [Selectable],
    pub(crate) decode: Decode,
    pub(crate) rules: &'static Rules,
    pub(crate) printer: &'static Printer,
}

impl Resource {
    /// `v1` or `coordination.k8s.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// As messages name it: `pods` or `leases.coordination.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }

    /// The object as clients of this group see it.
    pub(crate) fn shown(&self, object: &Value) -> Value {
        match self.view {
            Some(view) => (view.show)(object),
            None => object.clone(),
        }
    }
}

/// `v1` or `coordination.k8s.io/v1`.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The resource that a path names.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| resource.group == group && resource.version == version && resource.plural == plural)
}

/// The resource of an object of this kind.
pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.kind == kind && resource.api_version() == api_version)
}

/// Groups with their versions, in the order of the table; the core group is the one without a name.
pub(crate) fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for resource in RESOURCES {
        if !groups.contains(&(resource.group, resource.version)) {
            groups.push((resource.group, resource.version));
        }
    }
    groups
}
