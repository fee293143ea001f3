//! The options of a request: `ListOptions`, `GetOptions`, `PatchOptions` and the others, which share their names.

use axum::extract::Query;
use http::Uri;
use serde::Deserialize;

use crate::error::ApiError;

/// Options of the query. Texts are empty if they are not given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Options {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    limit: String,
    pub(crate) r#continue: String,
    pub(crate) resource_version: String,
    pub(crate) resource_version_match: String,
    watch: String,
    allow_watch_bookmarks: String,
    send_initial_events: String,
    timeout_seconds: String,
    pub(crate) dry_run: String,
    pub(crate) field_validation: String,
    grace_period_seconds: String,
    pub(crate) include_object: String,
}

impl Options {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let Query(options) =
            Query::<Self>::try_from_uri(uri).map_err(|error| ApiError::bad_request(error.body_text()))?;
        if !matches!(options.dry_run.as_str(), "" | "All") {
            return Err(ApiError::bad_request("dryRun: Unsupported value: supported values: \"All\""));
        }
        Ok(options)
    }

    pub(crate) fn watches(&self) -> bool {
        is_true(&self.watch)
    }

    pub(crate) fn wants_bookmarks(&self) -> bool {
        is_true(&self.allow_watch_bookmarks)
    }

    pub(crate) fn wants_initial_events(&self) -> bool {
        is_true(&self.send_initial_events)
    }

    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        number("limit", &self.limit).map(|limit| limit.unwrap_or(0))
    }

    pub(crate) fn timeout_seconds(&self) -> Result<Option<u64>, ApiError> {
        number("timeoutSeconds", &self.timeout_seconds)
    }

    pub(crate) fn grace_period_seconds(&self) -> Result<Option<i64>, ApiError> {
        number("gracePeriodSeconds", &self.grace_period_seconds)
    }

    /// The revision asked for; none for "whatever is there".
    pub(crate) fn revision(&self) -> Result<Option<u64>, ApiError> {
        number("resourceVersion", &self.resource_version)
            .map(|revision| revision.filter(|revision| *revision > 0))
    }
}

fn is_true(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "1" | "t")
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| ApiError::bad_request(format!("{field}: Invalid value: {text:?}")))
}
