//! What a request for a container's log asks for (`PodLogOptions` of the API).

use http::StatusCode;
use jiff::Timestamp;

use crate::{LogQuery, LogStream, Refusal};

/// The query of pairs, as Kubernetes reads it. `split` says whether one output may be had by itself
/// (gate `PodLogsQuerySplitStreams`).
pub(super) fn parse(pairs: &[(String, String)], split: bool) -> Result<LogQuery, Refusal> {
    let text = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let flag = |name: &str| text(name).is_some_and(|value| !matches!(&*value.to_lowercase(), "false" | "0"));
    let number = |name: &str| -> Result<Option<i64>, Refusal> {
        text(name).map(|value| value.parse().map_err(|_| undecodable())).transpose()
    };
    let tail = match text("tail").filter(|tail| !tail.is_empty()) {
        Some("all") => None,
        Some(tail) => Some(tail.parse().map_err(|_| undecodable())?),
        None => number("tailLines")?,
    };
    let (limit, since_seconds) = (number("limitBytes")?, number("sinceSeconds")?);
    let since_time: Option<Timestamp> = match text("sinceTime") {
        Some(time) if !time.is_empty() => Some(time.parse().map_err(|_| undecodable())?),
        _ => None,
    };
    let stream = match text("stream") {
        None | Some("All") => LogStream::All,
        Some("Stdout") => LogStream::Stdout,
        Some("Stderr") => LogStream::Stderr,
        Some(_) => return Err(invalid()),
    };
    let one = stream != LogStream::All;
    if tail.is_some_and(|lines| lines < 0)
        || limit.is_some_and(|bytes| bytes < 1)
        || since_seconds.is_some_and(|seconds| seconds < 1)
        || (since_seconds.is_some() && since_time.is_some())
        || (one && tail.is_some())
    {
        return Err(invalid());
    }
    if one && !split {
        return Err(Refusal::bad_request(
            "one stream of a log cannot be had by itself: turn on the feature gate PodLogsQuerySplitStreams",
        ));
    }
    let unsigned = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Ok(LogQuery {
        follow: flag("follow"),
        previous: flag("previous"),
        timestamps: flag("timestamps"),
        tail_lines: unsigned(tail),
        limit_bytes: unsigned(limit),
        since_seconds: unsigned(since_seconds),
        since_time,
        stream,
    })
}

fn undecodable() -> Refusal {
    Refusal::bad_request(r#"{"message": "Unable to decode query."}"#)
}

fn invalid() -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str, split: bool) -> Result<LogQuery, u16> {
        let pairs: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        parse(&pairs, split).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn good_queries() {
        let all = LogQuery::default();
        for (query, expected) in [
            ("", all.clone()),
            (
                "follow=true&previous=1&timestamps",
                LogQuery { follow: true, previous: true, timestamps: true, ..all.clone() },
            ),
            ("follow=false&previous=0&timestamps=False&insecureSkipTLSVerifyBackend=true", all.clone()),
            (
                "tailLines=0&limitBytes=1",
                LogQuery { tail_lines: Some(0), limit_bytes: Some(1), ..all.clone() },
            ),
            ("tail=5&tailLines=9", LogQuery { tail_lines: Some(5), ..all.clone() }),
            ("tail=all&tailLines=9", all.clone()),
            ("sinceSeconds=3", LogQuery { since_seconds: Some(3), ..all.clone() }),
            (
                "sinceTime=2024-01-02T03:04:05Z",
                LogQuery { since_time: Some("2024-01-02T03:04:05Z".parse().unwrap()), ..all.clone() },
            ),
            ("stream=All", all.clone()),
            ("stream=Stderr", LogQuery { stream: LogStream::Stderr, ..all }),
        ] {
            assert_eq!(parsed(query, true), Ok(expected), "{query}");
        }
    }

    #[test]
    fn bad_queries() {
        for (query, split, status) in [
            ("tailLines=many", true, 400),
            ("tail=few", true, 400),
            ("limitBytes=1.5", true, 400),
            ("sinceTime=yesterday", true, 400),
            ("tailLines=-1", true, 422),
            ("limitBytes=0", true, 422),
            ("sinceSeconds=0", true, 422),
            ("sinceSeconds=1&sinceTime=2024-01-02T03:04:05Z", true, 422),
            ("stream=Stdin", true, 422),
            ("stream=Stdout&tailLines=1", true, 422),
            ("stream=Stdout", false, 400),
        ] {
            assert_eq!(parsed(query, split), Err(status), "{query}");
        }
    }
}
