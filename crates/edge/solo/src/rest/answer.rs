//! What a verb answers, in the form that the client wants.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;

use super::call::Call;
use super::form::Form;
use crate::object;
use crate::printer::{self, Include};

/// What a verb answers: a status code and a stored object, to be shown as the client wants it, or a plain value.
#[derive(Debug)]
pub(crate) enum Answer {
    Object(StatusCode, Arc<Value>),
    Plain(StatusCode, Value),
}

/// The answer in the form that the client wants.
pub(super) fn respond(call: &Call, answer: Answer) -> Response {
    match answer {
        Answer::Plain(code, value) => json(code, value),
        Answer::Object(code, stored) => {
            let value = match call.form {
                Form::Whole => call.resource().shown(&stored),
                Form::Partial => printer::partial(&stored),
                Form::Table => {
                    let include = Include::parse(&call.options.include_object);
                    let mut table = printer::table(call.resource(), std::iter::once(&*stored), include, true);
                    let revision = object::text(&stored, "/metadata/resourceVersion");
                    table["metadata"] = serde_json::json!({"resourceVersion": revision});
                    table
                }
            };
            json(code, value)
        }
    }
}

/// `value` as an answer.
pub(super) fn json(code: StatusCode, value: Value) -> Response {
    (code, axum::Json(value)).into_response()
}
