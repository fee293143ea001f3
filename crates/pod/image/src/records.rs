//! What is on disk about pulls: `image_manager/pulling` has a file for each pull that began, `image_manager/pulled` one
//! for each image that was pulled, with who may use it (KEP-2535). Other kubelets read and write the same files.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use task::file::write_atomic;
use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const VERSION: &str = "kubelet.config.k8s.io/v1beta1";
const VERSIONS: [&str; 2] = [VERSION, "kubelet.config.k8s.io/v1alpha1"];
const PREFIX: &str = "sha256-";
/// The largest record that is read, in bytes; one names at most a hundred secrets.
const MAX_FILE: u64 = 1 << 20;

/// A pull that began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Intent {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    image: String,
}

/// An image that was pulled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PulledRecord {
    kind: String,
    api_version: String,
    /// When the record changed, RFC 3339 in whole seconds.
    pub(crate) last_updated_time: String,
    /// The image's id.
    pub(crate) image_ref: String,
    /// Who may use it, by the name without tag and digest under which it was pulled.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) credential_mapping: BTreeMap<String, Users>,
}

/// Who may use an image.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Users {
    /// Pods with these secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kubernetes_secrets: Vec<SecretUser>,
    /// Pods of these service accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kubernetes_service_accounts: Vec<AccountUser>,
    /// All pods of the node: it was pulled with the node's own credentials, or with none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) node_pods_accessible: bool,
}

/// A secret that an image was pulled with.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SecretUser {
    uid: String,
    namespace: String,
    name: String,
    credential_hash: String,
}

impl SecretUser {
    /// The Secret `meta`, with a credential of which `credential_hash` is recorded.
    pub(crate) fn new(meta: &ObjectMeta, credential_hash: String) -> Self {
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            credential_hash,
        }
    }

    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn is_same_object(&self, other: &Self) -> bool {
        (&self.uid, &self.namespace, &self.name) == (&other.uid, &other.namespace, &other.name)
    }

    /// Whether who has `other` may use what was pulled with this one: the same credential from another Secret, or
    /// another credential from the same Secret, whose owner keeps it up to date.
    pub(crate) fn vouches_for(&self, other: &Self) -> bool {
        let same_credential =
            !self.credential_hash.is_empty() && self.credential_hash == other.credential_hash;
        same_credential || self.is_same_object(other)
    }
}

/// A service account whose token an image was pulled with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AccountUser {
    uid: String,
    namespace: String,
    name: String,
}

impl PulledRecord {
    /// A record that nobody is in yet.
    pub(crate) fn new(image_ref: &str, now: Timestamp) -> Self {
        Self {
            kind: "ImagePulledRecord".to_owned(),
            api_version: VERSION.to_owned(),
            last_updated_time: seconds(now),
            image_ref: image_ref.to_owned(),
            credential_mapping: BTreeMap::new(),
        }
    }

    /// Lets all pods of the node use what is called `name`. Whether that is new.
    pub(crate) fn let_all_pods_use(&mut self, name: &str, now: Timestamp) -> bool {
        let users = self.credential_mapping.entry(name.to_owned()).or_default();
        if users.node_pods_accessible {
            return false;
        }
        *users = Users { node_pods_accessible: true, ..Users::default() };
        self.touch(now);
        true
    }

    /// Lets pods with `secret` use what is called `name`. Whether that is new.
    pub(crate) fn let_secret_use(&mut self, name: &str, secret: &SecretUser, now: Timestamp) -> bool {
        let users = self.credential_mapping.entry(name.to_owned()).or_default();
        if users.node_pods_accessible || users.kubernetes_secrets.contains(secret) {
            return false;
        }
        let secrets = &mut users.kubernetes_secrets;
        secrets.retain(|known| !known.is_same_object(secret));
        secrets.push(secret.clone());
        secrets.sort_by(|a, b| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)));
        self.touch(now);
        true
    }

    fn touch(&mut self, now: Timestamp) {
        self.last_updated_time = seconds(now);
        self.api_version = VERSION.to_owned();
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The two directories. All methods block.
#[derive(Debug)]
pub(crate) struct Records {
    pulling: PathBuf,
    pulled: PathBuf,
}

impl Records {
    /// Those below `root_dir`, which are made if they are missing.
    pub(crate) fn open(root_dir: &Path) -> io::Result<Self> {
        let dir = root_dir.join("image_manager");
        let records = Self { pulling: dir.join("pulling"), pulled: dir.join("pulled") };
        for dir in [&records.pulling, &records.pulled] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        Ok(records)
    }

    pub(crate) fn begin(&self, image: &str) -> io::Result<()> {
        let (kind, api_version) = ("ImagePullIntent".to_owned(), VERSION.to_owned());
        write(&self.pulling.join(file_name(image)), &Intent { kind, api_version, image: image.to_owned() })
    }

    pub(crate) fn has_begun(&self, image: &str) -> io::Result<bool> {
        self.pulling.join(file_name(image)).try_exists()
    }

    pub(crate) fn end(&self, image: &str) -> io::Result<()> {
        remove(&self.pulling.join(file_name(image)))
    }

    /// The images whose pull began; files that nobody can read are left out, and named.
    pub(crate) fn begun(&self) -> io::Result<Vec<String>> {
        let intents = all::<Intent>(&self.pulling)?;
        Ok(intents
            .into_iter()
            .filter(|intent| VERSIONS.contains(&&*intent.api_version))
            .map(|i| i.image)
            .collect())
    }

    /// The record of the image `image_ref`.
    pub(crate) fn pulled(&self, image_ref: &str) -> io::Result<Option<PulledRecord>> {
        let record: Option<PulledRecord> = read(&self.pulled.join(file_name(image_ref)))?;
        match record {
            Some(record) if !VERSIONS.contains(&&*record.api_version) => {
                let message = format!("unknown version {}", record.api_version);
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            record => Ok(record),
        }
    }

    pub(crate) fn put(&self, record: &PulledRecord) -> io::Result<()> {
        write(&self.pulled.join(file_name(&record.image_ref)), record)
    }

    pub(crate) fn remove(&self, image_ref: &str) -> io::Result<()> {
        remove(&self.pulled.join(file_name(image_ref)))
    }

    pub(crate) fn all_pulled(&self) -> io::Result<Vec<PulledRecord>> {
        all(&self.pulled)
    }

    /// How many pulls began, and how many images were pulled.
    pub(crate) fn count(&self) -> io::Result<(usize, usize)> {
        Ok((files(&self.pulling)?.len(), files(&self.pulled)?.len()))
    }
}

fn file_name(key: &str) -> String {
    format!("{PREFIX}{:x}", Sha256::digest(key))
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write_atomic(path, &serde_json::to_vec(value)?, 0o600)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if size > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the record is larger than 1 MiB"));
    }
    Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        // `.tmp` is what a Go kubelet was writing when it ended.
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && !name.ends_with(".tmp")) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn all<T: DeserializeOwned>(dir: &Path) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    for path in files(dir)? {
        match read(&path) {
            Ok(value) => all.extend(value),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "A record about a pull cannot be read and is left alone");
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_other_kubelets() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.begin("busybox:1").unwrap();
        let path = dir.path().join("image_manager/pulling").join(file_name("busybox:1"));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"busybox:1"}"#
        );
        // What `sha256sum` says of the name.
        assert_eq!(
            file_name("busybox:1"),
            "sha256-765f875080a9220ec3186dfc31b67b030c07e570665ba0e000bb9d17d5481cd5"
        );
        assert!(records.has_begun("busybox:1").unwrap() && !records.has_begun("busybox:2").unwrap());
        assert_eq!(records.begun().unwrap(), ["busybox:1"]);
        records.end("busybox:1").unwrap();
        records.end("busybox:1").unwrap();
        assert!(records.begun().unwrap().is_empty());

        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let mut record = PulledRecord::new("sha256:1", now);
        assert!(record.let_all_pods_use("busybox", now) && !record.let_all_pods_use("busybox", now));
        records.put(&record).unwrap();
        let text =
            fs::read_to_string(dir.path().join("image_manager/pulled").join(file_name("sha256:1"))).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1beta1","lastUpdatedTime":"2026-01-02T03:04:05Z","imageRef":"sha256:1","credentialMapping":{"busybox":{"nodePodsAccessible":true}}}"#
        );
        assert_eq!(records.pulled("sha256:1").unwrap(), Some(record));
        assert_eq!(records.count().unwrap(), (0, 1));
    }

    #[test]
    fn what_others_recorded_stays() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        let text = r#"{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1alpha1","lastUpdatedTime":"2024-10-21T12:26:40Z","imageRef":"i","credentialMapping":{"a/b":{"kubernetesSecrets":[{"uid":"u","namespace":"n","name":"s","credentialHash":"h"}]}}}"#;
        fs::write(dir.path().join("image_manager/pulled").join(file_name("i")), text).unwrap();
        let mut record = records.pulled("i").unwrap().unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        record.let_all_pods_use("c", Timestamp::UNIX_EPOCH);
        assert_eq!(record.credential_mapping["a/b"].kubernetes_secrets[0].credential_hash, "h");
    }

    #[test]
    fn secrets_are_recorded_once_each_with_their_latest_credential() {
        let mut record = PulledRecord::new("i", Timestamp::UNIX_EPOCH);
        let secret = |name: &str, hash: &str| SecretUser {
            uid: "u".to_owned(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
            credential_hash: hash.to_owned(),
        };
        let mut add =
            |name: &str, hash: &str| record.let_secret_use("a", &secret(name, hash), Timestamp::UNIX_EPOCH);
        assert!(add("t", "1") && add("s", "1") && !add("s", "1") && add("t", "2"));
        assert_eq!(record.credential_mapping["a"].kubernetes_secrets, [secret("s", "1"), secret("t", "2")]);
        assert!(
            secret("s", "1").vouches_for(&secret("t", "1"))
                && secret("s", "1").vouches_for(&secret("s", "2"))
        );
        assert!(
            !secret("s", "1").vouches_for(&secret("t", "2"))
                && !secret("s", "").vouches_for(&secret("t", ""))
        );
        record.let_all_pods_use("a", Timestamp::UNIX_EPOCH);
        assert!(
            !record.let_secret_use("a", &secret("s", "9"), Timestamp::UNIX_EPOCH),
            "everybody may already"
        );
    }

    #[test]
    fn what_is_broken_is_an_error_for_one_and_left_out_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        let pulled = dir.path().join("image_manager/pulled");
        fs::write(pulled.join(file_name("i")), "{").unwrap();
        fs::write(pulled.join(format!("{}.tmp", file_name("j"))), "{").unwrap();
        fs::write(
            pulled.join(file_name("v")),
            r#"{"kind":"ImagePulledRecord","apiVersion":"v9","lastUpdatedTime":"","imageRef":"v"}"#,
        )
        .unwrap();
        assert!(records.pulled("i").is_err() && records.pulled("v").is_err());
        assert_eq!(records.pulled("j").unwrap(), None);
        assert_eq!(records.all_pulled().unwrap().len(), 1);
        assert_eq!(records.count().unwrap(), (0, 2));
    }
}
