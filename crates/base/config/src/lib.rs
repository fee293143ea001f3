//! The node agent's configuration: `KubeletConfiguration` v1beta1, kubelet's flags, and feature gates.
//!
//! Decides what the effective configuration is (a flag wins over a drop-in file, that over the configuration file,
//! that over the default; feature gates are merged one by one), whether it is valid, and where each value came from.
//! [`load`] does all of it; [`check()`](check::check) and [`mod@print`] serve `berth config`.
//!
//! Has no tasks. It reads the files that it is told to, once, when it is called.
//!
//! Does not: print, log or exit (what is to be said is returned), look at the node (whether a CPU exists, whether swap
//! is on), or act on any of it.

pub mod check;
mod choice;
pub mod cpuset;
mod defaults;
mod duration;
mod file;
pub mod flags;
pub mod gates;
mod kubelet;
mod layer;
mod load;
mod logging;
pub mod print;
mod unacted;
mod validate;

pub use choice::{
    AuthorizationMode, CgroupDriver, ChangeDetection, CpuManagerPolicy, HairpinMode, LogFormat,
    MemoryManagerPolicy, MemoryReservation, PullVerification, SwapBehavior, TopologyPolicy, TopologyScope,
};
pub use duration::{Duration, DurationError};
pub use file::FileError;
pub use flags::{FlagError, Flags, Request};
pub use gates::{Gate, Gates};
pub use kubelet::{
    API_VERSION, AnonymousAuthentication, Authentication, Authorization, CrashLoopBackOff, Headers, KIND,
    KubeletConfiguration, MemorySwap, ReservedMemory, ShutdownByPriority, Taint, Tracing, UserNamespaces,
    WebhookAuthentication, WebhookAuthorization, X509Authentication,
};
pub use layer::{Origin, Provenance};
pub use load::{LoadError, Loaded, Outcome, Problem, load};
pub use logging::{FormatOptions, Logging, OutputOptions, VModule};
pub use unacted::{SETTLED, SWITCHES, UNACTED, unacted};
