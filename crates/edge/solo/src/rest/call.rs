//! One call on objects, with what all verbs need to know of it.

use std::sync::Arc;

use serde_json::Value;

use super::form::Form;
use super::options::Options;
use super::route::Objects;
use crate::auth::User;
use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;
use crate::rules::Scene;
use crate::store::{Snapshot, Txn};

/// A call, authorized.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) objects: Objects,
    pub(crate) options: Options,
    pub(crate) user: User,
    pub(crate) form: Form,
}

impl Call {
    /// The object as it is.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn current(&self, txn: &Txn) -> Result<Arc<Value>, ApiError> {
        txn.get(self.resource().store, self.namespace(), self.name()).cloned().ok_or_else(|| self.not_found())
    }

    pub(crate) fn resource(&self) -> &'static Resource {
        self.objects.resource
    }

    /// Empty for objects of the cluster.
    pub(crate) fn namespace(&self) -> &str {
        self.objects.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.objects.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn is_dry(&self) -> bool {
        !self.options.dry_run.is_empty()
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource().qualified(), self.name())
    }

    pub(crate) fn scene<'a>(&'a self, objects: &'a Snapshot) -> Scene<'a> {
        Scene { resource: self.resource(), subresource: &self.objects.subresource, user: &self.user, objects }
    }

    /// Reads an object of this resource: its kind is checked, unknown fields are dropped or refused, and it gets into
    /// its stored form.
    pub(crate) fn decode(&self, mut value: Value) -> Result<Value, ApiError> {
        let resource = self.resource();
        if !value.is_object() {
            return Err(ApiError::bad_request("the object provided is not an object"));
        }
        let map = object::as_map(&mut value);
        object::default(map, "kind", resource.kind);
        object::default(map, "apiVersion", resource.api_version());
        let (kind, version) = (object::text(&value, "/kind"), object::text(&value, "/apiVersion"));
        if kind != resource.kind || version != resource.api_version() {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({version}) and the kind ({kind}) do not match the expected {}, Kind={}",
                resource.api_version(),
                resource.kind
            )));
        }
        let (mut value, unknown) = (resource.decode)(value).map_err(|error| {
            ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {0}: {error}",
                resource.kind, resource.version
            ))
        })?;
        if self.options.field_validation == "Strict" && !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            return Err(ApiError::bad_request(format!("strict decoding error: {}", list.join(", "))));
        }
        if let Some(view) = resource.view {
            value = (view.store)(value);
        }
        let meta = object::meta_mut(&mut value);
        for managed in ["managedFields", "selfLink"] {
            meta.remove(managed);
        }
        Ok(value)
    }
}
