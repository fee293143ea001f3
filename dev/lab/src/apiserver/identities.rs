//! Who is who at a `kube-apiserver`: certificates of its own authority, and kubeconfigs that name them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

/// The files of all of them.
pub(super) struct Identities {
    /// The certificate of the authority.
    pub(super) authority: PathBuf,
    pub(super) server: Identity,
    /// Somebody who may do everything.
    pub(super) admin: Identity,
    pub(super) node: Identity,
}

/// The files of one.
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Makes an authority and certificates by it, in `dir`, for the server, an administrator and the node of that name.
pub(super) fn make(dir: &Path, node: &str) -> Result<Identities> {
    let key = KeyPair::generate().context("make the authority's key")?;
    let mut params = named("ca", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key).context("make the authority's certificate")?;
    let authority = dir.join("ca.crt");
    write(&authority, &certificate.pem())?;
    let issuer = Issuer::new(params, key);

    let mut server = named("kube-apiserver", None);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    let client = |name: &str, group| {
        let mut params = named(name, Some(group));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    };
    Ok(Identities {
        server: issue(dir, "server", server, &issuer)?,
        admin: issue(dir, "admin", client("admin", "system:masters"), &issuer)?,
        node: issue(dir, "node", client(&format!("system:node:{node}"), "system:nodes"), &issuer)?,
        authority,
    })
}

/// The kubeconfig of a client of the server on that port of this machine.
pub(super) fn kubeconfig(port: u16, authority: &Path, client: &Identity) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - {{name: lab, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: '{authority}'}}}}\n\
         users:\n\
         - {{name: lab, user: {{client-certificate: '{certificate}', client-key: '{key}'}}}}\n\
         contexts:\n\
         - {{name: lab, context: {{cluster: lab, user: lab}}}}\n\
         current-context: lab\n",
        authority = authority.display(),
        certificate = client.certificate.display(),
        key = client.key.display(),
    )
}

fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn issue(
    dir: &Path,
    file: &str,
    params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Identity> {
    let made = || {
        let key = KeyPair::generate()?;
        Ok::<_, rcgen::Error>((params.signed_by(&key, issuer)?.pem(), key.serialize_pem()))
    };
    let (certificate, key) = made().with_context(|| format!("make a certificate for {file}"))?;
    let identity =
        Identity { certificate: dir.join(format!("{file}.crt")), key: dir.join(format!("{file}.key")) };
    write(&identity.certificate, &certificate)?;
    write(&identity.key, &key)?;
    Ok(identity)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
