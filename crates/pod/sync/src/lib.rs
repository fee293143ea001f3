//! Brings the runtime to what a pod asks for: [`plan`] decides what to do from the pod and what was observed of it.

pub mod plan;
