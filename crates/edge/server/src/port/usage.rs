//! `/stats/summary`, `/metrics/resource` and `/metrics/cadvisor`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::exposed;
use super::needs::Shared;
use crate::{Refusal, UsagePage};

pub(super) async fn summary(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let text = shared.needs.usage.summary(only_cpu_and_memory(&query)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

pub(super) async fn resource(State(shared): State<Arc<Shared>>) -> Response {
    exposed(shared.needs.usage.metrics(UsagePage::Resource).await)
}

pub(super) async fn cadvisor(State(shared): State<Arc<Shared>>) -> Response {
    exposed(shared.needs.usage.metrics(UsagePage::Cadvisor).await)
}

/// Said once, and with this very word, as upstream.
fn only_cpu_and_memory(query: &[(String, String)]) -> bool {
    let mut values = query.iter().filter(|(name, _)| name == "only_cpu_and_memory");
    matches!((values.next(), values.next()), (Some((_, value)), None) if value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_true_leaves_the_rest_out() {
        for (values, expected) in [
            (&[][..], false),
            (&["true"], true),
            (&["1"], false),
            (&["True"], false),
            (&["false"], false),
            (&["true", "true"], false),
        ] {
            let query: Vec<_> = values
                .iter()
                .map(|value| ("only_cpu_and_memory".to_owned(), (*value).to_owned()))
                .chain([("other".to_owned(), "true".to_owned())])
                .collect();
            assert_eq!(only_cpu_and_memory(&query), expected, "{values:?}");
        }
    }
}
