//! What a request for a stream asks for.

use http::{HeaderMap, header};

use super::Streams;
use crate::Refusal;

type Pairs = [(String, String)];

/// Which streams are wanted. A terminal has no standard error of its own.
pub(super) fn streams(pairs: &Pairs) -> Result<Streams, Refusal> {
    let flag = |name: &str| pairs.iter().find(|(key, _)| key == name).is_some_and(|(_, value)| value == "1");
    let tty = flag("tty");
    let streams =
        Streams { stdin: flag("input"), stdout: flag("output"), stderr: flag("error") && !tty, tty };
    if streams.stdin || streams.stdout || streams.stderr {
        return Ok(streams);
    }
    Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"))
}

/// The command, word by word.
pub(super) fn command(pairs: &Pairs) -> Vec<String> {
    pairs.iter().filter(|(name, _)| name == "command").map(|(_, word)| word.clone()).collect()
}

/// The ports to forward. A SPDY client names them later, in the streams that it opens; a WebSocket has to do it now.
pub(super) fn ports(pairs: &Pairs, headers: &HeaderMap) -> Result<Vec<u16>, Refusal> {
    let websocket =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !websocket {
        return Ok(Vec::new());
    }
    let named = pairs.iter().filter(|(name, _)| name == "port").flat_map(|(_, ports)| ports.split(','));
    let ports: Vec<u16> = named
        .map(|port| {
            let number = port.parse().ok().filter(|port| *port > 0);
            number.ok_or_else(|| {
                Refusal::bad_request(format!("port {port:?} is no number between 1 and 65535"))
            })
        })
        .collect::<Result<_, _>>()?;
    if ports.is_empty() {
        return Err(Refusal::bad_request("query parameter \"port\" is required"));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn streams_are_asked_for_one_by_one() {
        let none = Streams::default();
        for (query, expected) in [
            (&[("input", "1")][..], Some(Streams { stdin: true, ..none })),
            (&[("output", "1"), ("error", "1")], Some(Streams { stdout: true, stderr: true, ..none })),
            (
                &[("output", "1"), ("error", "1"), ("tty", "1")],
                Some(Streams { stdout: true, tty: true, ..none }),
            ),
            (&[("error", "1"), ("tty", "1")], None),
            (&[("output", "true")], None),
            (&[], None),
        ] {
            assert_eq!(streams(&pairs(query)).ok(), expected, "{query:?}");
        }
        assert_eq!(command(&pairs(&[("command", "a b"), ("x", "y"), ("command", "c")])), ["a b", "c"]);
    }

    #[test]
    fn websockets_name_their_ports() {
        let mut headers = HeaderMap::new();
        let query = pairs(&[("port", "80,443"), ("port", "8080")]);
        assert_eq!(ports(&query, &headers), Ok(vec![]));
        headers.insert(header::UPGRADE, "websocket".parse().unwrap());
        assert_eq!(ports(&query, &headers), Ok(vec![80, 443, 8080]));
        for bad in ["0", "x", "65536", ""] {
            assert!(ports(&pairs(&[("port", bad)]), &headers).is_err(), "{bad}");
        }
        assert!(ports(&[], &headers).is_err());
    }
}
