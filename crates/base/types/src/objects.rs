//! The objects of the API server that a pod refers to, by name and as they were found: ConfigMaps, Secrets, tokens of its
//! service account, and what signers of certificates give. Those with a namespace are in the pod's.

mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use crate::corev1::{ConfigMap, Container, Secret, Volume};
use crate::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use crate::{Pod, pod};

pub use signed::{BundleRequest, CertificateRequest, Credential, Labels};

/// Names of objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Tokens of the pod's service account.
    pub tokens: BTreeSet<TokenRequest>,
    /// Trust anchors.
    pub bundles: BTreeSet<BundleRequest>,
    /// Certificates of the pod's own.
    pub certificates: BTreeSet<CertificateRequest>,
}

/// A token that a pod wants of its service account, as a `serviceAccountToken` source says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TokenRequest {
    /// For whom it is; empty for the API server itself.
    pub audience: String,
    /// How long it should be good for.
    pub expiration_seconds: Option<i64>,
}

impl References {
    /// All objects that `pod` refers to in volumes, environment and `imagePullSecrets`.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        // The API lets names of pull secrets be empty; those mean nothing.
        let pull = pod::spec(pod).image_pull_secrets.iter().flatten();
        let named = pull.map(|secret| secret.name.clone()).filter(|name| !name.is_empty());
        let mut all = Self { secrets: named.collect(), ..Self::default() };
        for volume in pod::spec(pod).volumes.iter().flatten() {
            all.add_volume(volume);
        }
        for (_, container) in pod::containers(pod) {
            all.add_environment(&container);
        }
        all
    }

    /// Adds those that the environment of `container` comes from.
    pub fn add_environment(&mut self, container: &Container) {
        for source in container.env_from.iter().flatten() {
            self.config_maps.extend(source.config_map_ref.iter().map(|map| map.name.clone()));
            self.secrets.extend(source.secret_ref.iter().map(|secret| secret.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(source.config_map_key_ref.iter().map(|map| map.name.clone()));
            self.secrets.extend(source.secret_key_ref.iter().map(|secret| secret.name.clone()));
        }
    }

    /// Adds those that the content of `volume` comes from.
    pub fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|map| map.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|secret| secret.secret_name.clone()));
        let sources = volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten();
        for (index, source) in sources.enumerate() {
            self.bundles.extend(source.cluster_trust_bundle.iter().map(BundleRequest::of));
            let certificate = |source| CertificateRequest::of(&volume.name, index, source);
            self.certificates.extend(source.pod_certificate.iter().map(certificate));
            self.config_maps.extend(source.config_map.iter().map(|map| map.name.clone()));
            self.secrets.extend(source.secret.iter().map(|secret| secret.name.clone()));
            self.tokens.extend(source.service_account_token.iter().map(|token| TokenRequest {
                audience: token.audience.clone().unwrap_or_default(),
                expiration_seconds: token.expiration_seconds,
            }));
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let signed = self.bundles.is_empty() && self.certificates.is_empty();
        signed && self.config_maps.is_empty() && self.secrets.is_empty() && self.tokens.is_empty()
    }
}

/// Why an object cannot be had.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("{kind} {name:?} not found")]
    NotFound {
        /// The kind in lower case, such as `configmap`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// berth runs without an API server, so there are no objects.
    #[error("{kind} {name:?} is not available: berth runs without an API server")]
    WithoutApi {
        /// The kind in lower case.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Somebody has to do something before it can be had.
    #[error("{message}")]
    Withheld {
        /// What.
        message: String,
    },
    /// It is not known whether there is.
    #[error("{message}")]
    Unavailable {
        /// What happened, in the API server's own words where it answered.
        message: String,
    },
}

impl ObjectError {
    /// There is no ConfigMap `name`.
    #[must_use]
    pub fn no_config_map(name: &str) -> Self {
        Self::NotFound { kind: "configmap", name: name.to_owned() }
    }

    /// There is no Secret `name`.
    #[must_use]
    pub fn no_secret(name: &str) -> Self {
        Self::NotFound { kind: "secret", name: name.to_owned() }
    }

    /// Whether it may be had soon, without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::WithoutApi { .. })
    }
}

/// A token of a service account. Its `Debug` does not tell it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    text: String,
    /// When it should be replaced.
    pub refresh: Timestamp,
}

impl Token {
    /// The token `text`, which is to be replaced at `refresh`.
    #[must_use]
    pub fn new(text: String, refresh: Timestamp) -> Self {
        Self { text, refresh }
    }

    /// The token itself. It must not get into a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

/// What was found of an object.
pub type Found<T> = Result<T, ObjectError>;

/// What was found of objects that a pod refers to. Its `Debug` tells names alone.
#[derive(Clone, Default)]
pub struct Objects {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, Found<Arc<ConfigMap>>>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Found<Arc<Secret>>>,
    /// Tokens.
    pub tokens: BTreeMap<TokenRequest, Found<Token>>,
    /// Trust anchors, as PEM.
    pub bundles: BTreeMap<BundleRequest, Found<Arc<str>>>,
    /// Certificates of the pod's own.
    pub certificates: BTreeMap<CertificateRequest, Found<Credential>>,
}

impl Objects {
    /// The ConfigMap `name`.
    ///
    /// # Errors
    /// If it is not there, or was not looked for.
    pub fn config_map(&self, name: &str) -> Found<&ConfigMap> {
        let found = self.config_maps.get(name).ok_or_else(|| ObjectError::no_config_map(name))?;
        found.as_deref().map_err(Clone::clone)
    }

    /// The Secret `name`.
    ///
    /// # Errors
    /// If it is not there, or was not looked for.
    pub fn secret(&self, name: &str) -> Found<&Secret> {
        let found = self.secrets.get(name).ok_or_else(|| ObjectError::no_secret(name))?;
        found.as_deref().map_err(Clone::clone)
    }

    /// The token for `request`.
    ///
    /// # Errors
    /// If there is none, or it was not asked for.
    pub fn token(&self, request: &TokenRequest) -> Found<&Token> {
        let none = || ObjectError::Unavailable { message: "no token was asked for".to_owned() };
        self.tokens.get(request).ok_or_else(none)?.as_ref().map_err(Clone::clone)
    }

    /// The trust anchors for `request`.
    ///
    /// # Errors
    /// If there are none, or they were not looked for.
    pub fn bundle(&self, request: &BundleRequest) -> Found<&str> {
        let none = || ObjectError::Unavailable { message: "no trust anchors were looked for".to_owned() };
        self.bundles.get(request).ok_or_else(none)?.as_deref().map_err(Clone::clone)
    }

    /// The certificate for `request`.
    ///
    /// # Errors
    /// If there is none, or it was not asked for.
    pub fn certificate(&self, request: &CertificateRequest) -> Found<&Credential> {
        let none = || ObjectError::Unavailable { message: "no certificate was asked for".to_owned() };
        self.certificates.get(request).ok_or_else(none)?.as_ref().map_err(Clone::clone)
    }

    /// When the first of the tokens and certificates should be replaced.
    #[must_use]
    pub fn refresh(&self) -> Option<Timestamp> {
        let tokens = self.tokens.values().filter_map(|found| Some(found.as_ref().ok()?.refresh));
        let certificates = self.certificates.values().filter_map(|found| Some(found.as_ref().ok()?.refresh));
        tokens.chain(certificates).min()
    }

    /// The first error that says nothing about whether the object is there.
    #[must_use]
    pub fn unavailable(&self) -> Option<&ObjectError> {
        let maps = self.config_maps.values().filter_map(|found| found.as_ref().err());
        let secrets = self.secrets.values().filter_map(|found| found.as_ref().err());
        let tokens = self.tokens.values().filter_map(|found| found.as_ref().err());
        let bundles = self.bundles.values().filter_map(|found| found.as_ref().err());
        let certificates = self.certificates.values().filter_map(|found| found.as_ref().err());
        let mut all = maps.chain(secrets).chain(tokens).chain(bundles).chain(certificates);
        all.find(|error| error.is_transient())
    }

    /// A number that is another one when something else was found. Only for comparisons within one process.
    #[must_use]
    pub fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, found) in &self.config_maps {
            (name, found.as_ref().map(|map| version(&map.metadata))).hash(&mut hasher);
        }
        for (name, found) in &self.secrets {
            (name, found.as_ref().map(|secret| version(&secret.metadata))).hash(&mut hasher);
        }
        (&self.tokens, &self.bundles, &self.certificates).hash(&mut hasher);
        hasher.finish()
    }
}

/// What tells one state of an object from another.
fn version(meta: &ObjectMeta) -> (Option<&str>, Option<&str>) {
    (meta.uid.as_deref(), meta.resource_version.as_deref())
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("config_maps", &self.config_maps.keys())
            .field("secrets", &self.secrets.keys())
            .field("tokens", &self.tokens)
            .field("bundles", &self.bundles.keys())
            .field("certificates", &self.certificates)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_reference_is_found() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "imagePullSecrets": [{"name": "pull"}, {"name": ""}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}, {"configMapRef": {"name": "m1"}}]}],
            "containers": [{"name": "c", "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "m2", "key": "k"}}}, {"name": "C", "value": "x"}]}],
            "ephemeralContainers": [{"name": "e", "envFrom": [{"configMapRef": {"name": "m3"}}]}],
            "volumes": [{"name": "a", "secret": {"secretName": "s3"}}, {"name": "b", "configMap": {"name": "m4"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s4"}}, {"configMap": {"name": "m5"}},
                    {"serviceAccountToken": {"path": "t", "audience": "vault", "expirationSeconds": 600}},
                    {"serviceAccountToken": {"path": "u"}}, {"downwardAPI": {}}]}}],
        }}))
        .unwrap();
        let all = References::of_pod(&pod);
        assert_eq!(all.config_maps, names(&["m1", "m2", "m3", "m4", "m5"]));
        assert_eq!(all.secrets, names(&["pull", "s1", "s2", "s3", "s4"]));
        let vault = TokenRequest { audience: "vault".to_owned(), expiration_seconds: Some(600) };
        assert_eq!(all.tokens, BTreeSet::from([TokenRequest::default(), vault]));
        assert!(References::of_pod(&Pod::default()).is_empty());
    }

    #[test]
    fn the_version_follows_what_was_found() {
        let map = |version: &str, value: &str| -> Found<Arc<ConfigMap>> {
            Ok(Arc::new(
                serde_json::from_value(
                    json!({"metadata": {"uid": "u", "resourceVersion": version}, "data": {"k": value}}),
                )
                .unwrap(),
            ))
        };
        let with =
            |found| Objects { config_maps: BTreeMap::from([("m".to_owned(), found)]), ..Objects::default() };
        let first = with(map("1", "a")).version();
        assert_eq!(first, with(map("1", "a")).version());
        assert_ne!(first, with(map("2", "a")).version());
        assert_ne!(first, with(Err(ObjectError::no_config_map("m"))).version());
        assert_ne!(first, Objects::default().version());
        let token = |text: &str| {
            let token = Token::new(text.to_owned(), Timestamp::UNIX_EPOCH);
            Objects { tokens: BTreeMap::from([(TokenRequest::default(), Ok(token))]), ..Objects::default() }
        };
        assert_ne!(token("a").version(), token("b").version());
        assert_eq!(token("a").refresh(), Some(Timestamp::UNIX_EPOCH));
        assert!(!format!("{:?}", token("hunter2")).contains("hunter2"));
    }

    #[test]
    fn what_was_not_found() {
        let objects = Objects {
            secrets: BTreeMap::from([("s".to_owned(), Err(ObjectError::no_secret("s")))]),
            ..Objects::default()
        };
        assert_eq!(objects.secret("s").unwrap_err().to_string(), "secret \"s\" not found");
        assert_eq!(objects.config_map("m").unwrap_err().to_string(), "configmap \"m\" not found");
        assert_eq!(objects.unavailable(), None);
    }
}
