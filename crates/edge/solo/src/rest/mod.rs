//! HTTP: from a request to a call on objects, and from its answer to a response.

mod answer;
mod body;
mod call;
mod create;
mod delete;
mod discovery;
mod form;
mod list;
mod measured;
mod openapi;
mod options;
mod pass;
mod passing;
mod review;
mod route;
mod service;
mod subresource;
mod update;
mod verb;
mod watch;

pub(crate) use delete::{begin as begin_deletion, is_over};
pub(crate) use service::{Peer, router};

#[cfg(test)]
mod tests;
