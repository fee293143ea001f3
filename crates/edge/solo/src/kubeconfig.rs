//! The files by which clients find this server and are known to it.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use task::file::write_atomic;

use crate::authority::Identity;

/// The text of a kubeconfig with everything in it.
fn text(server: &str, ca: &str, user: &str, identity: &Identity) -> String {
    let [ca, certificate, key] = [ca, &identity.certificate, &identity.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: berth-solo
  cluster:
    server: {server}
    certificate-authority-data: {ca}
contexts:
- name: berth-solo
  context:
    cluster: berth-solo
    user: {user}
current-context: berth-solo
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    )
}

/// Writes a kubeconfig that only its owner may read. One that says the same already is left alone.
pub(crate) fn write(path: &Path, server: &str, ca: &str, user: &str, identity: &Identity) -> io::Result<()> {
    let text = text(server, ca, user, identity);
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_atomic(path, text.as_bytes(), 0o600)
}
