//! The grammars of names (Kubernetes: "Object Names and IDs", "Labels and Selectors"). Each rule answers what is wrong.

/// What a rule answers.
pub(crate) type Rule = Result<(), &'static str>;

fn lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn starts_and_ends(text: &str, test: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&byte| test(byte)) && bytes.last().is_some_and(|&byte| test(byte))
}

/// RFC 1123 label: 63 lower-case letters, digits and hyphens.
pub(crate) fn dns_label(text: &str) -> Rule {
    if text.len() > 63 {
        return Err("a DNS label has at most 63 characters");
    }
    if starts_and_ends(text, lower_alnum) && text.bytes().all(|byte| lower_alnum(byte) || byte == b'-') {
        return Ok(());
    }
    Err(
        "an RFC 1123 label has only lower-case letters, digits and '-', and starts and ends with a letter or digit",
    )
}

/// RFC 1123 subdomain: labels joined by dots, 253 characters.
pub(crate) fn dns_subdomain(text: &str) -> Rule {
    if text.len() > 253 {
        return Err("a DNS subdomain has at most 253 characters");
    }
    let label = |part: &str| {
        starts_and_ends(part, lower_alnum) && part.bytes().all(|byte| lower_alnum(byte) || byte == b'-')
    };
    if text.split('.').all(label) {
        return Ok(());
    }
    Err(
        "an RFC 1123 subdomain has only lower-case letters, digits, '-' and '.', and each part starts and ends with a letter or digit",
    )
}

/// A search domain of resolv.conf: a subdomain that may begin with an underscore in each part, end with a dot, or be
/// the root (KEP-4427).
pub(crate) fn search_domain(text: &str) -> Rule {
    if text == "." {
        return Ok(());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let begins = |byte: u8| lower_alnum(byte) || byte == b'_';
    let part = |part: &str| {
        part.bytes().next().is_some_and(begins)
            && part.bytes().last().is_some_and(begins)
            && part.bytes().all(|byte| begins(byte) || byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(part) {
        return Ok(());
    }
    Err("a search domain has parts of lower-case letters, digits, '-' and '_', joined by '.'")
}

/// The name of an environment variable (KEP-4369): anything printable in ASCII but '='.
pub(crate) fn env_name(text: &str) -> Rule {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Ok(());
    }
    Err("the name of an environment variable has only printable ASCII characters other than '='")
}

/// The name part of a label key: 63 characters.
fn label_name(text: &str) -> bool {
    text.len() <= 63
        && starts_and_ends(text, |byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A label key, `name` or `prefix/name`.
pub(crate) fn qualified_name(text: &str) -> Rule {
    let name = match text.split_once('/') {
        None => text,
        Some((prefix, name)) => {
            if dns_subdomain(prefix).is_err() {
                return Err("the prefix before '/' must be an RFC 1123 subdomain");
            }
            name
        }
    };
    if label_name(name) {
        return Ok(());
    }
    Err(
        "a qualified name has at most 63 letters, digits, '-', '_' and '.', starts and ends with a letter or digit, and may have a DNS prefix and '/' before it",
    )
}

/// A key of annotations: like a label key, and upper-case letters may be anywhere.
pub(crate) fn annotation_key(text: &str) -> Rule {
    qualified_name(&text.to_lowercase())
}

/// A label's value: empty, or as the name part of its key.
pub(crate) fn label_value(text: &str) -> Rule {
    if text.is_empty() || label_name(text) {
        return Ok(());
    }
    Err(
        "a label's value has at most 63 letters, digits, '-', '_' and '.', and starts and ends with a letter or digit",
    )
}

/// A key in a ConfigMap or Secret.
pub(crate) fn config_key(text: &str) -> Rule {
    let chars = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if chars && !text.is_empty() && text.len() <= 253 && text != "." && !text.starts_with("..") {
        return Ok(());
    }
    Err("a key has at most 253 letters, digits, '-', '_' and '.', and is neither '.' nor begins with '..'")
}

/// The name of a port (IANA service name): 15 lower-case letters, digits and single hyphens, one letter at least.
pub(crate) fn port_name(text: &str) -> Rule {
    let good = !text.is_empty()
        && text.len() <= 15
        && starts_and_ends(text, lower_alnum)
        && text.bytes().all(|byte| lower_alnum(byte) || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.contains("--");
    if good {
        return Ok(());
    }
    Err(
        "the name of a port has at most 15 lower-case letters, digits and single '-', at least one letter, and no '-' at its ends",
    )
}

/// The name of an HTTP header.
pub(crate) fn header_name(text: &str) -> Rule {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(());
    }
    Err("the name of an HTTP header has only letters, digits and '-'")
}

/// The name of a sysctl, with dots or slashes between its parts.
pub(crate) fn sysctl(text: &str) -> Rule {
    let part = |part: &str| {
        starts_and_ends(part, lower_alnum)
            && part.bytes().all(|byte| lower_alnum(byte) || matches!(byte, b'-' | b'_'))
    };
    if text.len() <= 253 && text.split(['.', '/']).all(part) {
        return Ok(());
    }
    Err("the name of a sysctl has parts of lower-case letters, digits, '-' and '_', joined by '.' or '/'")
}

/// The name of a CSI driver.
pub(crate) fn csi_driver(text: &str) -> Rule {
    if text.len() > 63 {
        return Err("the name of a CSI driver has at most 63 characters");
    }
    dns_subdomain(&text.to_lowercase())
}

/// An IP address.
pub(crate) fn ip(text: &str) -> Rule {
    text.parse::<std::net::IpAddr>().map(|_| ()).map_err(|_| "must be an IPv4 or IPv6 address")
}

/// A path without `..` among its parts.
pub(crate) fn no_backsteps(text: &str) -> Rule {
    if text.split('/').any(|part| part == "..") { Err("must not contain '..'") } else { Ok(()) }
}

/// A path below something: relative, and without `..`.
pub(crate) fn descending_path(text: &str) -> Rule {
    if text.starts_with('/') {
        return Err("must be a relative path");
    }
    no_backsteps(text)
}

/// A path of a projected file: as above, and out of the way of the atomic writer, whose own names begin with `..`.
pub(crate) fn projected_path(text: &str) -> Rule {
    descending_path(text)?;
    if text.starts_with("..") { Err("must not start with '..'") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        type Case = (fn(&str) -> Rule, &'static [&'static str], &'static [&'static str]);
        let cases: [Case; 13] = [
            (dns_label, &["a", "a-b", "0a9"], &["", "A", "-a", "a-", "a.b", "a_b", "é"]),
            (dns_subdomain, &["a", "a.b-c.d", "1.2"], &["", ".", "a..b", "a.", "A.b", "a.-b"]),
            (search_domain, &[".", "a.b.", "_tcp.x", "a_b"], &["", "..", "a..b", "A"]),
            (env_name, &["A", "a b", "1.2-3", "$"], &["a=b", "é", "a\tb"]),
            (qualified_name, &["a", "A.b_c-d", "x.io/A"], &["", "/a", "a/", "x/y/z", "X.io/a", "-a"]),
            (annotation_key, &["X.io/a", "a"], &["", "a b"]),
            (label_value, &["", "a", "A.b"], &["-a", "a b", "a/"]),
            (config_key, &["a", ".a", "A_b-c.d"], &["", ".", "..", "..a", "a/b"]),
            (port_name, &["http", "a-1"], &["", "80", "a--b", "-a", "HTTP", "sixteen-letters-"]),
            (header_name, &["X-A"], &["", "a b", "a:b"]),
            (sysctl, &["kernel.shm_rmid_forced", "net/ipv4/a.b"], &["", "a..b", "A"]),
            (descending_path, &["a/b", "..a", ""], &["/a", "a/../b", ".."]),
            (projected_path, &["a/..b", ".a"], &["..a", "../a", "/a"]),
        ];
        for (rule, good, bad) in cases {
            for text in good {
                assert_eq!(rule(text), Ok(()), "{text}");
            }
            for text in bad {
                assert!(rule(text).is_err(), "{text}");
            }
        }
        assert!(dns_label(&"a".repeat(63)).is_ok() && dns_label(&"a".repeat(64)).is_err());
        assert!(dns_subdomain(&"a".repeat(253)).is_ok() && dns_subdomain(&"a".repeat(254)).is_err());
        assert!(qualified_name(&"a".repeat(64)).is_err() && label_value(&"a".repeat(64)).is_err());
    }
}
