//! A certificate for a server that was given none.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use task::file::write_atomic;

/// Why there is no such certificate.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    /// One file of the pair is there without the other.
    #[error("{} is there without {}: put the other one beside it, or remove it to have both made", there.display(), missing.display())]
    Half {
        /// The one that is there.
        there: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The name is one that no certificate can be for.
    #[error("cannot make a certificate for {name:?}")]
    Make {
        /// The name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// Clocks of others may be behind.
const LEEWAY: Duration = Duration::from_secs(3600);
/// Nobody renews it, and nobody who trusts it looks at its end.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The files of a certificate for `name`, a host's name or address, and of its key: `kubelet.crt` and `kubelet.key` in
/// `dir`, where the Go kubelet has them. They are made if they are not there; the certificate is signed by its own key.
///
/// # Errors
/// If they cannot be written, or only one of them is there.
pub fn self_signed(dir: &Path, name: &str) -> Result<(PathBuf, PathBuf), SelfSignedError> {
    let (certificate, key) = (dir.join("kubelet.crt"), dir.join("kubelet.key"));
    match (certificate.exists(), key.exists()) {
        (true, true) => return Ok((certificate, key)),
        (true, false) => return Err(SelfSignedError::Half { there: certificate, missing: key }),
        // The key is written first: a crash in between leaves it alone, and it is made anew.
        (false, _) => {}
    }
    let make = |source| SelfSignedError::Make { name: name.to_owned(), source };
    let (text, secret) = made(name).map_err(make)?;
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| SelfSignedError::Write { path, source }
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(write(dir))?;
    write_atomic(&key, secret.as_bytes(), 0o600).map_err(write(&key))?;
    write_atomic(&certificate, text.as_bytes(), 0o644).map_err(write(&certificate))?;
    Ok((certificate, key))
}

fn made(name: &str) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into()?),
    }];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = |since: Duration| date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs());
    params.not_before = at(now.saturating_sub(LEEWAY));
    params.not_after = at(now + LIFE);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{Pem, Tls, TlsPolicy};

    #[test]
    fn it_is_made_once_and_can_be_served() {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("root/pki");
        for name in ["worker-1", "10.0.0.1"] {
            let (certificate, key) = self_signed(&pki, name).unwrap();
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&certificate), mode(&key)), (0o644, 0o600));
            let text = std::fs::read(&certificate).unwrap();
            assert_eq!(self_signed(&pki, "other").unwrap(), (certificate.clone(), key.clone()));
            assert_eq!(std::fs::read(&certificate).unwrap(), text);
            Tls::new(TlsPolicy::default(), Pem::File(certificate.clone()), Pem::File(key), None).unwrap();
            std::fs::remove_file(certificate).unwrap();
        }
        self_signed(&pki, "worker-1").unwrap();
        std::fs::remove_file(pki.join("kubelet.key")).unwrap();
        assert!(matches!(self_signed(&pki, "worker-1"), Err(SelfSignedError::Half { .. })));
    }
}
