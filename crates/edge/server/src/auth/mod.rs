//! Who asks, and what they may do: nobody gets anything that the configuration does not let them have.

mod access;
mod authenticate;
mod authorize;
mod cache;
mod guard;
mod reviews;
mod token;
mod user;

pub use authenticate::Authenticator;
pub use authorize::Authorizer;
pub use guard::Guard;
pub use reviews::{Access, ReviewError, Reviews};
pub use user::User;
