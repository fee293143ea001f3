//! One run of a credential plugin.

use std::process::Stdio;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::process::Command;

use super::{CredentialsError, Identity, Proof};
use crate::kubeconfig::ExecPlugin;

/// How much of a plugin's standard error is shown.
const SHOWN: usize = 1024;

/// What a plugin may be told of the cluster.
#[derive(Clone, Default)]
pub(crate) struct ClusterInfo(pub(crate) serde_json::Map<String, serde_json::Value>);

/// What a plugin printed.
pub(super) struct Printed {
    pub(super) proof: Proof,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs `exec`. If the future is dropped, the plugin is killed.
pub(super) async fn run(
    exec: &ExecPlugin,
    cluster: Option<&ClusterInfo>,
) -> Result<Printed, CredentialsError> {
    let mut spec = serde_json::json!({ "interactive": false });
    if let (Some(spec), Some(ClusterInfo(cluster))) = (spec.as_object_mut(), cluster) {
        spec.insert("cluster".to_owned(), cluster.clone().into());
    }
    let info = serde_json::json!({
        "kind": "ExecCredential", "apiVersion": exec.version.as_str(), "spec": spec,
    });
    let output = Command::new(&exec.command)
        .args(&exec.args)
        .envs(exec.env.iter().map(|(name, value)| (name, value)))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| {
            let hint =
                exec.install_hint.as_deref().map_or_else(String::new, |hint| format!(" ({})", hint.trim()));
            CredentialsError::PluginStart { command: exec.command.clone(), source, hint }
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr = stderr.trim();
        let from = stderr.char_indices().rev().nth(SHOWN).map_or(0, |(index, _)| index);
        return Err(CredentialsError::PluginFailed {
            command: exec.command.clone(),
            status: output.status,
            stderr: stderr.get(from..).unwrap_or_default().to_owned(),
        });
    }
    read(exec, &output.stdout)
        .map_err(|reason| CredentialsError::PluginOutput { command: exec.command.clone(), reason })
}

fn read(exec: &ExecPlugin, output: &[u8]) -> Result<Printed, String> {
    let printed: ExecCredential = serde_json::from_slice(output).map_err(|error| {
        // The text of a data error may quote what was printed.
        format!("it is not valid at line {} column {}", error.line(), error.column())
    })?;
    if printed.kind != "ExecCredential" || printed.api_version != exec.version.as_str() {
        return Err(format!(
            "it is {} {}, and must be {} ExecCredential",
            printed.api_version,
            printed.kind,
            exec.version.as_str()
        ));
    }
    let status = printed.status.ok_or("it has no status")?;
    let mut proof = match status.token.filter(|token| !token.is_empty()) {
        Some(token) => Proof::token(&token).map_err(|error| error.to_string())?,
        None => Proof::default(),
    };
    proof.identity = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some(Arc::new(Identity {
            certificate: certificate.into_bytes().into(),
            key: key.into_bytes().into(),
        })),
        (None, None) => None,
        _ => return Err("it has only one of clientCertificateData and clientKeyData".to_owned()),
    };
    if proof.authorization.is_none() && proof.identity.is_none() {
        return Err("it has neither a token nor a certificate".to_owned());
    }
    Ok(Printed { proof, expires: status.expiration_timestamp })
}
