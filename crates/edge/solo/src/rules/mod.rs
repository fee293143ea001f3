//! What the API server adds to objects and refuses of them, kind by kind. Pure: from the objects that there are and
//! the one that is written.

mod account;
mod certificate;
mod config;
mod event;
mod lease;
mod namespace;
mod node;
mod pod;
mod pod_update;
mod priority;
mod service;
mod storage;

use schema::{ErrorKind, FieldError};
use serde_json::Value;

pub(crate) use namespace::{DEFAULTS as DEFAULT_NAMESPACES, furnish, is_furnished};
pub(crate) use pod::{bind, node_for};
pub(crate) use pod_update::{is_terminal, set_condition};
pub(crate) use service::{SERVICE_ADDRESS, kubernetes as kubernetes_service};

use crate::auth::User;
use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;
use crate::store::Snapshot;

/// What a write is made in.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) resource: &'static Resource,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
    pub(crate) user: &'a User,
    pub(crate) objects: &'a Snapshot,
}

impl Scene<'_> {
    /// 422 for the object.
    pub(crate) fn invalid(&self, object: &Value, errors: &[FieldError]) -> ApiError {
        ApiError::invalid(self.resource.kind, self.resource.group, object::name(object), errors)
    }

    /// 403 for the object.
    pub(crate) fn forbidden(&self, object: &Value, why: &str) -> ApiError {
        ApiError::forbidden(&self.resource.qualified(), object::name(object), why)
    }

    /// Nothing, or 422 for the object.
    pub(crate) fn valid(&self, object: &Value, errors: &[FieldError]) -> Result<(), ApiError> {
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(object, errors)) }
    }
}

type Outcome = Result<(), ApiError>;

/// The rules of one kind. They get objects that were read through their type; the metadata is seen to already.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Defaults and validates a new object.
    pub(crate) create: fn(&mut Value, &Scene<'_>) -> Outcome,
    /// The same for one that changes: the old one, the new one.
    pub(crate) update: fn(&Value, &mut Value, &Scene<'_>) -> Outcome,
}

fn anything(_: &mut Value, _: &Scene<'_>) -> Outcome {
    Ok(())
}

fn any_change(_: &Value, _: &mut Value, _: &Scene<'_>) -> Outcome {
    Ok(())
}

pub(crate) const NONE: Rules = Rules { create: anything, update: any_change };
pub(crate) const POD: Rules = Rules { create: pod::create, update: pod_update::update };
pub(crate) const NODE: Rules = Rules { create: node::create, update: node::update };
pub(crate) const NAMESPACE: Rules = Rules { create: namespace::create, update: namespace::update };
pub(crate) const CONFIG_MAP: Rules = Rules { create: config::create_map, update: config::update_map };
pub(crate) const SECRET: Rules = Rules { create: config::create_secret, update: config::update_secret };
pub(crate) const SERVICE: Rules = Rules { create: service::create, update: service::update };
pub(crate) const EVENT: Rules = Rules { create: event::create, update: any_change };
pub(crate) const LEASE: Rules = Rules { create: lease::create, update: lease::update };
pub(crate) const PRIORITY_CLASS: Rules = Rules { create: priority::create, update: priority::update };
pub(crate) const VOLUME: Rules = Rules { create: storage::create_volume, update: storage::update_volume };
pub(crate) const CLAIM: Rules = Rules { create: storage::create_claim, update: storage::update_claim };
pub(crate) const CSI_DRIVER: Rules = Rules { create: storage::create_driver, update: any_change };
pub(crate) const STORAGE_CLASS: Rules = Rules { create: storage::create_class, update: any_change };
pub(crate) const ATTACHMENT: Rules =
    Rules { create: storage::create_attachment, update: storage::update_attachment };
pub(crate) const RUNTIME_CLASS: Rules = Rules { create: node::create_class, update: node::update_class };
pub(crate) const SIGNING_REQUEST: Rules = Rules { create: certificate::create, update: certificate::update };

/// A field that is wrong.
fn wrong(path: &str, kind: ErrorKind, value: &str, detail: &str) -> FieldError {
    let value = if value.is_empty() { String::new() } else { format!("{value:?}") };
    FieldError { path: path.to_owned(), kind, value, detail: detail.to_owned() }
}

/// A field that has to be set.
fn required(object: &Value, pointer: &str, path: &str) -> Vec<FieldError> {
    if object::text(object, pointer).is_empty() {
        vec![wrong(path, ErrorKind::Required, "", "")]
    } else {
        Vec::new()
    }
}

/// A field that may not change.
fn immutable(old: &Value, new: &Value, pointer: &str, path: &str) -> Vec<FieldError> {
    if old.pointer(pointer) == new.pointer(pointer) {
        Vec::new()
    } else {
        vec![wrong(path, ErrorKind::Invalid, "", "field is immutable")]
    }
}
