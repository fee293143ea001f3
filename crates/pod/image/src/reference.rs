//! Image names, as the distribution reference grammar has them: `[registry/]path[:tag][@digest]`.

use std::fmt;

/// The registry of names that do not say one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The path prefix of names on the default registry that have one part only.
const DEFAULT_PREFIX: &str = "library/";

/// A parsed image name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageName {
    /// Host and port of the registry, such as `docker.io` or `localhost:5000`.
    pub registry: String,
    /// The path in the registry, such as `library/busybox`.
    pub path: String,
    /// The tag; `latest` if neither tag nor digest is given.
    pub tag: Option<String>,
    /// The digest, such as `sha256:…`.
    pub digest: Option<String>,
}

/// Why a text is no image name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is not an image name: {problem}")]
pub struct InvalidImageName {
    name: String,
    problem: &'static str,
}

impl ImageName {
    /// Parses `text`.
    ///
    /// # Errors
    /// If it does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, InvalidImageName> {
        let invalid = |problem| InvalidImageName { name: text.chars().take(256).collect(), problem };
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(invalid("what follows @ is not a digest such as sha256:<64 hex digits>"));
        }
        let last_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last_slash..].split_once(':') {
            Some((last, tag)) => (&rest[..last_slash + last.len()], Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid(
                "the tag has characters other than letters, digits, '_', '.', '-', or is too long",
            ));
        }
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host == "localhost" || host.contains(['.', ':']) || has_upper(host) => {
                (host, path.to_owned())
            }
            Some(_) => (DEFAULT_REGISTRY, name.to_owned()),
            None => (DEFAULT_REGISTRY, format!("{DEFAULT_PREFIX}{name}")),
        };
        if !is_host(registry) {
            return Err(invalid("the registry is not a host name with an optional port"));
        }
        if path.len() > 255 {
            return Err(invalid("it is longer than 255 characters"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(invalid(
                "its path has characters other than lower-case letters, digits and separators ('.', '_', '__', '-') between them",
            ));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), path, tag, digest: digest.map(str::to_owned) })
    }

    /// `text`, which this name was parsed from, with the tag `latest` if it has neither tag nor digest. The registry
    /// is not put in: which one a short name means is the runtime's to say.
    #[must_use]
    pub fn tagged(&self, text: &str) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), None) if !text.ends_with(&format!(":{tag}")) => format!("{text}:{tag}"),
            _ => text.to_owned(),
        }
    }

    /// `text`, which is an image name, without tag and digest, and otherwise as it was written.
    #[must_use]
    pub fn bare(text: &str) -> &str {
        let name = text.split('@').next().unwrap_or(text);
        let last_slash = name.rfind('/').map_or(0, |at| at + 1);
        name[last_slash..].find(':').map_or(name, |colon| &name[..last_slash + colon])
    }
}

/// The full name, with everything that was left out put in.
impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_ok = v6
        .map_or_else(|| host.split('.').all(label), |address| address.parse::<std::net::Ipv6Addr>().is_ok());
    host_ok && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.first().copied().is_some_and(plain) || !bytes.last().copied().is_some_and(plain) {
        return false;
    }
    // Between two plain characters: one '.', one or two '_', or any number of '-'.
    bytes.split(|b| plain(*b)).all(|separator| {
        matches!(separator, [] | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
    })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let hex_ok = hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let length_ok = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => true,
    };
    let algorithm_ok = algorithm.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-' | b'_'));
    hex_ok && length_ok && algorithm_ok
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_names() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.36", "docker.io/library/busybox:1.36".to_owned()),
            ("prom/node", "docker.io/prom/node:latest".to_owned()),
            ("localhost/web", "localhost/web:latest".to_owned()),
            ("localhost:5000/a/b:t", "localhost:5000/a/b:t".to_owned()),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10".to_owned()),
            ("[::1]:5000/x", "[::1]:5000/x:latest".to_owned()),
            (&format!("q.io/a@{digest}"), format!("q.io/a@{digest}")),
            (&format!("q.io/a:t@{digest}"), format!("q.io/a:t@{digest}")),
            ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest".to_owned()),
        ] {
            assert_eq!(ImageName::parse(text).unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn the_runtime_is_given_what_was_written() {
        let digest = format!("a@sha256:{}", "a".repeat(64));
        for (text, tagged) in [
            ("busybox", "busybox:latest"),
            ("busybox:latest", "busybox:latest"),
            ("localhost:5000/web", "localhost:5000/web:latest"),
            ("a/b:1", "a/b:1"),
            (&digest, &digest),
        ] {
            assert_eq!(ImageName::parse(text).unwrap().tagged(text), tagged);
        }
    }

    #[test]
    fn bare_names() {
        let digest = format!("a/b:1@sha256:{}", "0".repeat(64));
        for (text, bare) in [
            ("busybox", "busybox"),
            ("busybox:1", "busybox"),
            ("localhost:5000/a", "localhost:5000/a"),
            ("localhost:5000/a:1", "localhost:5000/a"),
            (&digest, "a/b"),
        ] {
            assert_eq!(ImageName::bare(text), bare);
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "BusyBox",
            "a b",
            "a:",
            "a@sha256:12",
            "a//b",
            "-a",
            "a.",
            "a:!",
            "a___b",
            "host:port/a",
            "a@b@c",
            "/a",
        ] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_full_names_are_stable(text in "\\PC{0,80}") {
            if let Ok(name) = ImageName::parse(&text) {
                prop_assert_eq!(ImageName::parse(&name.to_string()).unwrap(), name);
            }
        }
    }
}
