//! Who asks, and what they may do. Deciding is pure: from the objects, the user and what they ask for.

mod attributes;
mod authorize;
mod impersonate;
mod node;
mod references;
mod restrict;
mod token;
mod user;

pub(crate) use attributes::{Attributes, Decision};
pub(crate) use authorize::{authorize, rules};
pub(crate) use impersonate::impersonated;
pub(crate) use restrict::{
    create as restrict_create, delete as restrict_delete, own_pod, update as restrict_update,
};
pub use token::TokenError;
pub(crate) use token::{Bound, ISSUER, Issuer, TokenSpec};
pub(crate) use user::User;
