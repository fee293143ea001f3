//! `/healthz`, as all of Kubernetes' components have it (Kubernetes: "API health endpoints").

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::needs::Shared;
use crate::Local;

/// One of the checks: its name, and what is wrong.
type Check = (&'static str, Result<(), String>);

/// All checks. That this answers at all is the first one; lines of the log are written at once, so there is nothing to
/// look at for the second.
fn checks(local: &dyn Local) -> [Check; 3] {
    [("ping", Ok(())), ("log", Ok(())), ("syncloop", local.health())]
}

pub(super) async fn all(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let excluded: Vec<&str> =
        query.iter().filter(|(name, _)| name == "exclude").map(|(_, value)| value.as_str()).collect();
    let verbose = query.iter().any(|(name, _)| name == "verbose");
    let (well, text) = judge(&checks(&*shared.needs.local), &excluded, verbose);
    let status = if well { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    plain(status, text)
}

pub(super) async fn one(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match checks(&*shared.needs.local).into_iter().find(|(known, _)| *known == name) {
        Some((_, Ok(()))) => plain(StatusCode::OK, "ok".to_owned()),
        Some((_, Err(why))) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

/// Whether all is well, and what is said about it. Why something is not is for the log alone.
fn judge(checks: &[Check], excluded: &[&str], verbose: bool) -> (bool, String) {
    let mut lines = String::new();
    let mut well = true;
    for (name, outcome) in checks {
        let line = match outcome {
            _ if excluded.contains(name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(_) => {
                well = false;
                format!("[-]{name} failed: reason withheld\n")
            }
        };
        lines.push_str(&line);
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|name| !checks.iter().any(|(known, _)| known == *name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let line =
            format!("warn: some health checks cannot be excluded: no matches for {}\n", unknown.join(","));
        lines.push_str(&line);
    }
    match (well, verbose) {
        (true, false) => (true, "ok".to_owned()),
        (true, true) => (true, lines + "healthz check passed\n"),
        (false, _) => (false, lines + "healthz check failed\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let well: [Check; 2] = [("ping", Ok(())), ("syncloop", Ok(()))];
        let ill: [Check; 2] = [("ping", Ok(())), ("syncloop", Err("secret".to_owned()))];
        assert_eq!(judge(&well, &[], false), (true, "ok".to_owned()));
        let lines = "[+]ping ok\n[+]syncloop ok\nhealthz check passed\n";
        assert_eq!(judge(&well, &[], true), (true, lines.to_owned()));
        let lines = "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        assert_eq!(judge(&ill, &[], false), (false, lines.to_owned()));
        assert_eq!(judge(&ill, &["syncloop"], false), (true, "ok".to_owned()));
        let (well, lines) = judge(&ill, &["syncloop", "etcd"], true);
        assert!(
            well && lines.contains("[+]syncloop excluded: ok\n") && lines.contains("no matches for \"etcd\"")
        );
    }
}
