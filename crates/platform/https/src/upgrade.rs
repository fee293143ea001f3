//! Connections that become something else than HTTP.

use http::{HeaderMap, header};

use crate::Connection;

/// Whether a request asks for its connection to become something else.
#[must_use]
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Does `work` with what has become of a connection, until the server ends. Without `over`, the connection is none of
/// [`crate::serve`]'s.
pub async fn until_stopped(over: Option<&Connection>, work: impl Future<Output = ()>) {
    let stopping = async {
        match over {
            Some(over) => over.stopping().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = work => {}
        () = stopping => {}
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn upgrades_are_one_word_of_several() {
        for (values, expected) in [
            (&["Upgrade"][..], true),
            (&["keep-alive, upgrade"], true),
            (&["close", " UPGRADE "], true),
            (&["upgrades"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONNECTION, HeaderValue::from_static(value));
            }
            assert_eq!(wants_upgrade(&headers), expected, "{values:?}");
        }
    }
}
