//! What the node, its pods and their containers use.

use futures::future::BoxFuture;

use crate::Refusal;

/// A page of metrics about what is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsagePage {
    /// `/metrics/resource`: CPU time, memory and swap (KEP-727).
    Resource,
    /// `/metrics/cadvisor`: everything that the kernel counts.
    Cadvisor,
}

/// Who knows what is used. It is read for each request.
pub trait Usage: Send + Sync + 'static {
    /// The Summary API's answer as JSON; of CPU, memory and swap alone if that is asked. Refused if it cannot be read.
    fn summary(&self, only_cpu_and_memory: bool) -> BoxFuture<'_, Result<String, Refusal>>;
    /// A page in Prometheus' text format. If nothing can be read, the page says so itself.
    fn metrics(&self, page: UsagePage) -> BoxFuture<'_, String>;
}
