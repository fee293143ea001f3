//! The certificate authority of this server: who is let in is who has a certificate of it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use task::file::write_atomic;

/// Why certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no key or certificate.
    #[error("{} holds no key or certificate that can be used; move it away to have new ones made", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate for {name:?}")]
    Issue {
        /// Whom it is for.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// The file of the authority's certificate.
pub(crate) const CA: &str = "ca.crt";

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    /// Puts it into files, the certificate last: if that is there, so is its key.
    pub(crate) fn write(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        for (path, text, mode) in [(key, &self.key, 0o600), (certificate, &self.certificate, 0o644)] {
            write_atomic(path, text.as_bytes(), mode)
                .map_err(|source| AuthorityError::File { path: path.to_owned(), source })?;
        }
        Ok(())
    }
}

/// Signs certificates.
pub(crate) struct Authority {
    /// Its own certificate, in PEM.
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Certificates of the server's own are good for so long. Their keys lie beside the authority's, so that new ones
/// would not be any safer.
const FIRST_YEAR: i32 = 2020;
const LAST_YEAR: i32 = 2120;
/// A certificate that was asked for with a request is good for so many seconds, unless less was asked for.
const REQUEST_SECONDS: u64 = 365 * 24 * 3600;

impl Authority {
    /// The authority whose files are in `dir`; made if they are not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, AuthorityError> {
        let files = (dir.join(CA), dir.join("ca.key"));
        let identity = kept(&files, || {
            let mut params = named("berth-solo-ca", &[]);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![
                KeyUsagePurpose::KeyCertSign,
                KeyUsagePurpose::CrlSign,
                KeyUsagePurpose::DigitalSignature,
            ];
            let key = KeyPair::generate()?;
            Ok(Identity { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
        })?;
        let content = |source| AuthorityError::Content { path: files.1.clone(), source };
        let key = KeyPair::from_pem(&identity.key).map_err(content)?;
        let issuer = Issuer::from_ca_cert_pem(&identity.certificate, key)
            .map_err(|source| AuthorityError::Content { path: files.0.clone(), source })?;
        Ok(Self { certificate: identity.certificate, issuer })
    }

    /// The identity of a client that is kept in `dir` under `file`; made if it is not there.
    pub(crate) fn client(
        &self,
        dir: &Path,
        file: &str,
        name: &str,
        groups: &[&str],
    ) -> Result<Identity, AuthorityError> {
        kept(&(dir.join(format!("{file}.crt")), dir.join(format!("{file}.key"))), || {
            let mut params = named(name, groups);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            self.issue(params)
        })
    }

    /// A certificate for this server, by these names and addresses.
    pub(crate) fn server(&self, names: &[String], addresses: &[IpAddr]) -> Result<Identity, AuthorityError> {
        self.serving("kube-apiserver", &[], names, addresses)
    }

    /// A certificate for the API of a node, by its name and these addresses.
    pub(crate) fn node(&self, node: &str, addresses: &[IpAddr]) -> Result<Identity, AuthorityError> {
        let (mut names, mut addresses) = (vec!["localhost".to_owned()], addresses.to_vec());
        match node.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(node.to_owned()),
        }
        self.serving(&format!("system:node:{node}"), &["system:nodes"], &names, &addresses)
    }

    fn serving(
        &self,
        subject: &str,
        groups: &[&str],
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<Identity, AuthorityError> {
        let made = || {
            let mut params = named(subject, groups);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for name in names {
                params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
            }
            params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
            self.issue(params)
        };
        made().map_err(|source| AuthorityError::Issue { name: subject.to_owned(), source })
    }

    fn issue(&self, params: CertificateParams) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        Ok(Identity { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }

    /// Signs a certificate signing request for a server or a client, good from now on.
    pub(crate) fn sign(
        &self,
        request: &Request,
        server: bool,
        seconds: Option<u64>,
    ) -> Result<String, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(&request.pem)?;
        let now = u64::try_from(crate::time::unix_now()).unwrap_or_default();
        let at = |seconds: u64| date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds);
        // Clocks of others may be a little behind.
        request.params.not_before = at(now.saturating_sub(300));
        request.params.not_after = at(now + seconds.unwrap_or(REQUEST_SECONDS).min(REQUEST_SECONDS));
        request.params.is_ca = IsCa::ExplicitNoCa;
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let usage =
            if server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth };
        request.params.extended_key_usages = vec![usage];
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// A certificate signing request that could be read.
pub(crate) struct Request {
    pem: String,
    /// The common name that is asked for.
    pub(crate) name: String,
}

impl Request {
    pub(crate) fn parse(pem: &str) -> Result<Self, rcgen::Error> {
        let params = CertificateSigningRequestParams::from_pem(pem)?;
        let name = match params.params.distinguished_name.get(&DnType::CommonName) {
            Some(rcgen::DnValue::PrintableString(name)) => name.as_str().to_owned(),
            Some(rcgen::DnValue::Utf8String(name)) => name.clone(),
            _ => String::new(),
        };
        Ok(Self { pem: pem.to_owned(), name })
    }
}

/// Parameters for a subject with a name and groups.
fn named(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(FIRST_YEAR, 1, 1);
    params.not_after = date_time_ymd(LAST_YEAR, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// A certificate and key from their files, or new ones that are put there.
fn kept(
    (certificate, key): &(PathBuf, PathBuf),
    make: impl FnOnce() -> Result<Identity, rcgen::Error>,
) -> Result<Identity, AuthorityError> {
    let file = |path: &Path, source| AuthorityError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(certificate) {
        Ok(text) => {
            let key = std::fs::read_to_string(key).map_err(|source| file(key, source))?;
            return Ok(Identity { certificate: text, key });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file(certificate, source)),
    }
    let made =
        make().map_err(|source| AuthorityError::Issue { name: certificate.display().to_string(), source })?;
    made.write(certificate, key)?;
    Ok(made)
}

/// The key of service account tokens in PKCS#8 DER, from its file in `dir`; made if it is not there.
pub(crate) fn token_key(dir: &Path) -> Result<Vec<u8>, AuthorityError> {
    let path = dir.join("sa.key");
    let file = |source| AuthorityError::File { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = KeyPair::from_pem(&text)
                .map_err(|source| AuthorityError::Content { path: path.clone(), source })?;
            return Ok(key.serialize_der());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file(source)),
    }
    let key = KeyPair::generate()
        .map_err(|source| AuthorityError::Issue { name: "service account tokens".to_owned(), source })?;
    write_atomic(&path, key.serialize_pem().as_bytes(), 0o600).map_err(file)?;
    Ok(key.serialize_der())
}
