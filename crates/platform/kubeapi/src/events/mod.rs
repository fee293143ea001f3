//! Events for users, as `kubectl describe` shows them. (Kubernetes: core/v1 Event.)
//!
//! What is told again becomes a count, many similar ones become one, and what comes too often is left out: these are
//! decided in `correlate`, without a clock or a server. `publish` sends what is left.

mod correlate;
mod publish;
mod queue;
mod recent;

pub use publish::EventPublisher;
