//! The user of a kubeconfig.

use std::path::PathBuf;

use kube::config as file;
use secrecy::{ExposeSecret, SecretString};

use super::error::Place;
use super::{KubeconfigError, Pem};

/// Who berth is to the API server. A certificate goes along with any of the others.
#[derive(Debug, Default)]
pub(crate) struct User {
    /// Certificate chain and key.
    pub(crate) certificate: Option<(Pem, Pem)>,
    /// What goes into the `Authorization` header.
    pub(crate) authorization: Authorization,
}

/// What goes into the `Authorization` header.
#[derive(Debug, Default)]
pub(crate) enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// User name and password.
    Basic(String, SecretString),
    /// A token.
    Token(SecretString),
    /// A token in a file, which may change.
    TokenFile(PathBuf),
    /// A program that prints credentials.
    Exec(ExecPlugin),
}

/// A credential plugin. (Kubernetes: "Authenticating", client-go credential plugins.)
#[derive(Clone, Debug)]
pub(crate) struct ExecPlugin {
    pub(crate) version: ExecVersion,
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) install_hint: Option<String>,
    /// Whether it is told of the cluster.
    pub(crate) cluster_info: bool,
}

/// The version of what a plugin is told and of what it prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExecVersion {
    V1,
    V1Beta1,
}

impl ExecVersion {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "client.authentication.k8s.io/v1",
            Self::V1Beta1 => "client.authentication.k8s.io/v1beta1",
        }
    }
}

impl User {
    pub(super) fn new(info: &file::AuthInfo, place: &Place) -> Result<Self, KubeconfigError> {
        let certificate = Pem::new(
            place,
            "client-certificate",
            info.client_certificate_data.as_deref(),
            info.client_certificate.as_deref(),
        )?;
        let key = info.client_key_data.as_ref().map(SecretString::expose_secret);
        let key = Pem::new(place, "client-key", key, info.client_key.as_deref())?;
        let certificate = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(place.at("client-key").error("is missing beside the certificate")),
            (None, Some(_)) => {
                return Err(place.at("client-certificate").error("is missing beside the key"));
            }
        };
        if info.auth_provider.is_some() {
            let reason = "is gone from Kubernetes since 1.26: use exec";
            return Err(place.at("auth-provider").error(reason));
        }
        Ok(Self { certificate, authorization: authorization(info, place)? })
    }
}

fn authorization(info: &file::AuthInfo, place: &Place) -> Result<Authorization, KubeconfigError> {
    let given =
        |secret: &Option<SecretString>| secret.clone().filter(|secret| !secret.expose_secret().is_empty());
    let token = given(&info.token);
    let token_file = info.token_file.as_deref().filter(|file| !file.is_empty());
    let user = info.username.as_deref().filter(|name| !name.is_empty());
    if let Some(exec) = &info.exec {
        if token.is_some() || token_file.is_some() || user.is_some() {
            return Err(place.at("exec").error("cannot be beside token, tokenFile or username"));
        }
        return Ok(Authorization::Exec(plugin(exec, &place.at("exec"))?));
    }
    if let Some(user) = user {
        if token.is_some() || token_file.is_some() {
            return Err(place.at("username").error("cannot be beside token or tokenFile"));
        }
        let password = info.password.clone().unwrap_or_else(|| SecretString::from(""));
        return Ok(Authorization::Basic(user.to_owned(), password));
    }
    // A file wins over a token: what is in the kubeconfig is what the file held when it was written.
    Ok(match (token_file, token) {
        (Some(file), _) => Authorization::TokenFile(file.into()),
        (None, Some(token)) => Authorization::Token(token),
        (None, None) => Authorization::None,
    })
}

fn plugin(exec: &file::ExecConfig, place: &Place) -> Result<ExecPlugin, KubeconfigError> {
    let version = match exec.api_version.as_deref() {
        Some("client.authentication.k8s.io/v1") => ExecVersion::V1,
        Some("client.authentication.k8s.io/v1beta1") => ExecVersion::V1Beta1,
        other => {
            let reason = format!(
                "is {:?}; it must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1",
                other.unwrap_or_default()
            );
            return Err(place.at("apiVersion").error(reason));
        }
    };
    let Some(command) = exec.command.as_deref().filter(|command| !command.is_empty()) else {
        return Err(place.at("command").error("is missing"));
    };
    match (version, &exec.interactive_mode) {
        (_, Some(file::ExecInteractiveMode::Always)) => {
            let reason = "is Always, and berth has no terminal to ask anybody";
            return Err(place.at("interactiveMode").error(reason));
        }
        (ExecVersion::V1, None) => {
            return Err(place
                .at("interactiveMode")
                .error("is missing; client.authentication.k8s.io/v1 demands it"));
        }
        _ => {}
    }
    let mut env = Vec::new();
    for (index, variable) in exec.env.iter().flatten().enumerate() {
        let Some(name) = variable.get("name").filter(|name| !name.is_empty()) else {
            return Err(place.at(&format!("env[{index}].name")).error("is missing"));
        };
        env.push((name.clone(), variable.get("value").cloned().unwrap_or_default()));
    }
    Ok(ExecPlugin {
        version,
        command: command.to_owned(),
        args: exec.args.clone().unwrap_or_default(),
        env,
        install_hint: exec.install_hint.clone().filter(|hint| !hint.trim().is_empty()),
        cluster_info: exec.provide_cluster_info,
    })
}
