//! `/logs`: files of the node's log directory, and the logs of its services (KEP-2258).

mod files;
mod journal;
mod query;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use crate::Refusal;
use crate::port::needs::Shared;
use query::{NodeLogQuery, Subject};

type Pairs = Query<Vec<(String, String)>>;

pub(crate) async fn root(
    State(shared): State<Arc<Shared>>,
    Query(pairs): Pairs,
    uri: http::Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    served(&shared, "", &pairs, &uri, &headers).await
}

pub(crate) async fn below(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    Query(pairs): Pairs,
    uri: http::Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    served(&shared, &path, &pairs, &uri, &headers).await
}

async fn served(
    shared: &Shared,
    path: &str,
    pairs: &[(String, String)],
    uri: &http::Uri,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let settings = &shared.needs.settings;
    let dir = &settings.log_dir;
    let query = if settings.log_query { NodeLogQuery::parse(pairs)? } else { None };
    let Some(query) = query else {
        return Ok(files::serve(dir.clone(), path.to_owned(), uri.path().ends_with('/')).await);
    };
    if !path.is_empty() {
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "path not allowed in query mode"));
    }
    match query.subject()? {
        Subject::File(file) => {
            let answer = files::serve(dir.clone(), file.replace('\\', "/"), true).await;
            if answer.status() == StatusCode::NOT_FOUND {
                let text = format!("query: there is no file {file:?} in the log directory");
                return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, text));
            }
            Ok(answer)
        }
        Subject::Services => Ok(journal::serve(dir.clone(), query, headers).into_response()),
    }
}
