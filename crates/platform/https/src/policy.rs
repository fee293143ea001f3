//! Versions, cipher suites and curves, by the names that Go and Kubernetes have for them.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, SupportedProtocolVersion};

/// Both versions, the newer one first.
const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const ONLY_NEW: &[&SupportedProtocolVersion] = &[&TLS13];

/// With which versions, cipher suites and curves TLS is served.
#[derive(Clone, Debug)]
pub struct TlsPolicy {
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) provider: Arc<CryptoProvider>,
    /// What was asked for and is not done here, such as `TLS_RSA_WITH_AES_128_CBC_SHA`.
    pub left_out: Vec<String>,
}

/// Nothing of what was asked for can be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "none of tlsCurvePreferences is supported: name 23 (P-256), 24 (P-384) or 29 (X25519), or none at all"
)]
pub struct PolicyError;

impl Default for TlsPolicy {
    /// TLS 1.2 and 1.3 with all that is good.
    fn default() -> Self {
        Self { versions: BOTH, provider: Arc::new(ring::default_provider()), left_out: Vec::new() }
    }
}

impl TlsPolicy {
    /// The policy of `KubeletConfiguration`: `tlsMinVersion` (`VersionTLS12`), `tlsCipherSuites` (Go's names) and
    /// `tlsCurvePreferences` (Go's numbers, which are IANA's). Empty means all that is good. Cipher suites are those of
    /// TLS 1.2, since TLS 1.3's cannot be chosen in Go either; if none of them is supported, there is TLS 1.3 only.
    ///
    /// # Errors
    /// If no curve is left.
    pub fn new(min_version: &str, cipher_suites: &[String], curves: &[i32]) -> Result<Self, PolicyError> {
        let mut provider = ring::default_provider();
        let mut left_out = Vec::new();
        if matches!(min_version, "VersionTLS10" | "VersionTLS11") {
            left_out.push(format!("tlsMinVersion {min_version}"));
        }
        let mut versions = if min_version == "VersionTLS13" { ONLY_NEW } else { BOTH };

        if !cipher_suites.is_empty() {
            let known = |name: &str| provider.cipher_suites.iter().any(|suite| go_name(suite) == full(name));
            left_out.extend(cipher_suites.iter().filter(|name| !known(name)).cloned());
            let wanted: Vec<String> = cipher_suites.iter().map(|name| full(name)).collect();
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || wanted.contains(&go_name(suite)));
            if provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()) {
                versions = ONLY_NEW;
            }
        }
        if !curves.is_empty() {
            let numbers: Vec<(i32, u16)> =
                curves.iter().filter_map(|curve| Some((*curve, u16::try_from(*curve).ok()?))).collect();
            let groups = std::mem::take(&mut provider.kx_groups);
            // In the order of the groups themselves: a preference of the server's is not honoured in Go either.
            provider.kx_groups = groups
                .into_iter()
                .filter(|group| numbers.iter().any(|(_, number)| group.name() == NamedGroup::from(*number)))
                .collect();
            let served =
                |number: u16| provider.kx_groups.iter().any(|group| group.name() == NamedGroup::from(number));
            let missing = numbers.iter().filter(|(_, number)| !served(*number));
            left_out.extend(missing.map(|(curve, _)| format!("tlsCurvePreferences {curve}")));
            if provider.kx_groups.is_empty() {
                return Err(PolicyError);
            }
        }
        Ok(Self { versions, provider: Arc::new(provider), left_out })
    }
}

/// Go's name of a suite; IANA's, as rustls has them for TLS 1.2.
fn go_name(suite: &rustls::SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// Two suites have an older name in Go, without the hash.
fn full(name: &str) -> String {
    if name.ends_with("_CHACHA20_POLY1305") { format!("{name}_SHA256") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(min: &str, suites: &[&str], curves: &[i32]) -> Result<TlsPolicy, PolicyError> {
        let suites: Vec<String> = suites.iter().map(|&name| name.to_owned()).collect();
        TlsPolicy::new(min, &suites, curves)
    }

    fn old_suites(policy: &TlsPolicy) -> Vec<String> {
        policy.provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).map(go_name).collect()
    }

    #[test]
    fn versions() {
        for (name, versions, left_out) in [
            ("", 2, 0),
            ("VersionTLS10", 2, 1),
            ("VersionTLS11", 2, 1),
            ("VersionTLS12", 2, 0),
            ("VersionTLS13", 1, 0),
        ] {
            let policy = policy(name, &[], &[]).unwrap();
            assert_eq!((policy.versions.len(), policy.left_out.len()), (versions, left_out), "{name}");
        }
    }

    #[test]
    fn cipher_suites_are_those_of_tls_1_2() {
        let all = policy("", &[], &[]).unwrap();
        assert_eq!((all.provider.cipher_suites.len(), old_suites(&all).len()), (9, 6));

        let two = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"];
        let some = policy("", &[two[0], two[1], "TLS_RSA_WITH_AES_128_CBC_SHA"], &[]).unwrap();
        let mut names = old_suites(&some);
        names.sort();
        assert_eq!(names, ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", two[0]]);
        assert_eq!(some.left_out, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert_eq!(some.provider.cipher_suites.len(), 5, "TLS 1.3 has all of its own");

        let new = policy("", &["TLS_AES_128_GCM_SHA256"], &[]).unwrap();
        assert_eq!((new.versions.len(), new.left_out.len(), old_suites(&new).len()), (1, 0, 0));
    }

    #[test]
    fn curves() {
        let policy = |curves: &[i32]| policy("", &[], curves);
        assert_eq!(policy(&[]).unwrap().provider.kx_groups.len(), 3);
        let one = policy(&[25, 24, 4588]).unwrap();
        assert_eq!(one.provider.kx_groups[0].name(), NamedGroup::secp384r1);
        assert_eq!((one.provider.kx_groups.len(), one.left_out.len()), (1, 2));
        assert_eq!(policy(&[25]).unwrap_err(), PolicyError);
    }
}
