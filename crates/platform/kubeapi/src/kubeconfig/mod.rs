//! The kubeconfig: which server, how to know it, and who berth is there.
//! (Kubernetes: "Organizing Cluster Access Using kubeconfig Files".)
//!
//! kube reads the file, takes paths in it as relative to its folder and merges its documents. What is chosen from it,
//! and what is said when something in it is wrong, is here.

mod cluster;
mod error;
mod pem;
mod user;

pub use error::KubeconfigError;

pub(crate) use cluster::Cluster;
pub(crate) use pem::Pem;
#[cfg(test)]
pub(crate) use user::ExecVersion;
pub(crate) use user::{Authorization, ExecPlugin, User};

use std::path::Path;

use kube::config as file;

/// What a kubeconfig's current context says. The files that it names are not read yet.
#[derive(Debug)]
pub struct Kubeconfig {
    /// The server.
    pub(crate) cluster: Cluster,
    /// Who berth is there.
    pub(crate) user: User,
}

impl Kubeconfig {
    /// Reads the kubeconfig at `path`, and takes its current context.
    ///
    /// # Errors
    /// The file cannot be read or is not a kubeconfig, the context or its cluster is missing, or a field contradicts
    /// another one or cannot be used. The error names the file and the field.
    pub fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let config = file::Kubeconfig::read_from(path).map_err(|source| error::reading(path, source))?;
        let at = |field: &str| error::Place::new(path, field);
        let name = config.current_context.as_deref().unwrap_or_default();
        if name.is_empty() {
            let reason = format!("is empty; the file has {}", list(config.contexts.iter().map(|c| &c.name)));
            return Err(at("current-context").error(reason));
        }
        let context = config.contexts.iter().find(|context| context.name == name);
        let Some(context) = context.and_then(|context| context.context.as_ref()) else {
            let has = list(config.contexts.iter().map(|context| &context.name));
            return Err(at("current-context").error(format!("names context {name:?}; the file has {has}")));
        };
        let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let Some(cluster) = cluster.and_then(|cluster| cluster.cluster.as_ref()) else {
            let has = list(config.clusters.iter().map(|cluster| &cluster.name));
            let field = format!("contexts[{name}].context.cluster");
            return Err(at(&field).error(format!("names cluster {:?}; the file has {has}", context.cluster)));
        };
        let cluster = Cluster::new(cluster, &at(&format!("clusters[{}].cluster", context.cluster)))?;
        let user = match context.user.as_deref().filter(|user| !user.is_empty()) {
            None => User::default(),
            Some(user) => {
                let found = config.auth_infos.iter().find(|info| info.name == user);
                match found.and_then(|info| info.auth_info.as_ref()) {
                    Some(info) => User::new(info, &at(&format!("users[{user}].user")))?,
                    // The Go kubelet goes on as nobody; the server's 401 would not say why.
                    None => {
                        let has = list(config.auth_infos.iter().map(|info| &info.name));
                        let field = format!("contexts[{name}].context.user");
                        return Err(at(&field).error(format!("names user {user:?}; the file has {has}")));
                    }
                }
            }
        };
        Ok(Self { cluster, user })
    }

    /// The server's address, such as `https://10.0.0.1:6443`.
    #[must_use]
    pub fn server(&self) -> String {
        self.cluster.server.to_string().trim_end_matches('/').to_owned()
    }
}

/// Names for a message.
fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
