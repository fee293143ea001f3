//! Selectors of lists and watches.

mod field;
mod label;

use serde_json::Value;

pub(crate) use field::FieldSelector;
pub(crate) use label::LabelSelector;

use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;

/// Which objects of a resource are meant.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    namespace: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selector {
    pub(crate) fn parse(
        resource: &Resource,
        namespace: Option<&str>,
        labels: &str,
        fields: &str,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(labels).map_err(ApiError::bad_request)?,
            fields: FieldSelector::parse(fields, resource).map_err(ApiError::bad_request)?,
        })
    }

    /// Whether every object of the namespace is meant.
    pub(crate) fn takes_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether a stored object is meant.
    pub(crate) fn matches(&self, stored: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == object::namespace(stored))
            && self.labels.matches(stored)
            && self.fields.matches(stored)
    }
}
