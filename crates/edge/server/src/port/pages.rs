//! Pages about this program: its configuration, its flags, its state (KEP-4827, KEP-4828).

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::needs::Shared;

/// What opens a page for people.
const FOR_PEOPLE: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
                          guarantees and is for debugging purposes only.";
/// The paths that the page about the state names.
const PATHS: &str = "/configz /flagz /healthz /metrics";

pub(super) async fn configz(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({"kubeletconfig": shared.needs.process.configuration}))
}

pub(super) async fn flagz(State(shared): State<Arc<Shared>>) -> String {
    let mut page = format!("\nkubelet flagz\n{FOR_PEOPLE}\n\n");
    for (name, value) in &shared.needs.process.flags {
        let _ = writeln!(page, "{name}={value}");
    }
    page
}

pub(super) async fn statusz(State(shared): State<Arc<Shared>>) -> String {
    let process = &shared.needs.process;
    let up = Timestamp::now().duration_since(process.started).as_secs();
    let started = process.started.to_zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S UTC %Y");
    let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
    format!(
        "\nkubelet statusz\n{FOR_PEOPLE}\n\n\
         Started: {started}\n\
         Up: {hours} hr {minutes:02} min {seconds:02} sec\n\
         Binary version: {}\n\n\
         Paths: {PATHS}\n",
        process.version
    )
}
