//! Registry credentials as docker configuration files have them (`config.json`, `.dockercfg`), and the node's own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::reference::ImageName;

/// The largest credentials file that is read, in bytes.
const MAX_FILE: u64 = 10 << 20;

/// Clients write `auth` with padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a registry is shown. Its `Debug` tells no secret.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Credential {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// OAuth token to be exchanged for another one.
    pub identity_token: String,
    /// Bearer token.
    pub registry_token: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why a credentials file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file is there and cannot be read.
    #[error("credentials file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("credentials file {} is larger than 10 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what it should be. The cause is not shown in full: it could quote a secret.
    #[error("credentials file {} is not valid JSON of a docker configuration (line {line})", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line of the first error.
        line: usize,
    },
}

/// Credentials by registry pattern, the most specific one first.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    entries: Vec<(Pattern, Credential)>,
}

/// Another program's `config.json` may have no `auths`.
#[derive(Deserialize)]
struct ConfigFile {
    auths: Option<BTreeMap<String, AuthEntry>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl Keyring {
    /// The credentials of the first file found below: `config.json` in the root directory, the working directory,
    /// `$HOME/.docker` and `/.docker`, then `.dockercfg` in the root directory, the working directory, `$HOME` and
    /// `/`. None is no error.
    ///
    /// # Errors
    /// If the file found cannot be read or is not valid.
    pub fn load(root_dir: &Path, home: Option<&Path>) -> Result<Self, KeyringError> {
        let home_docker = home.map(|home| home.join(".docker"));
        let new_style =
            [Some(root_dir), Some(Path::new(".")), home_docker.as_deref(), Some(Path::new("/.docker"))];
        let old_style = [Some(root_dir), Some(Path::new(".")), home, Some(Path::new("/"))];
        let new_style = new_style.into_iter().flatten().map(|dir| (dir.join("config.json"), true));
        let old_style = old_style.into_iter().flatten().map(|dir| (dir.join(".dockercfg"), false));
        for (path, new) in new_style.chain(old_style) {
            match read(&path)? {
                Some(text) if new => match Self::from_config_json(&text) {
                    Ok(keyring) if keyring.entries.is_empty() => {}
                    Ok(keyring) => return Ok(keyring),
                    Err(error) => return Err(KeyringError::Parse { path, line: error.line() }),
                },
                Some(text) => {
                    return Self::from_dockercfg(&text)
                        .map_err(|error| KeyringError::Parse { path, line: error.line() });
                }
                None => {}
            }
        }
        Ok(Self::default())
    }

    /// The credentials of a `config.json`.
    ///
    /// # Errors
    /// If it is not valid JSON of that shape.
    pub fn from_config_json(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::from_entries(serde_json::from_str::<ConfigFile>(text)?.auths.unwrap_or_default()))
    }

    /// The credentials of a `.dockercfg`.
    ///
    /// # Errors
    /// If it is not valid JSON of that shape.
    pub fn from_dockercfg(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::from_entries(serde_json::from_str(text)?))
    }

    fn from_entries(entries: BTreeMap<String, AuthEntry>) -> Self {
        let mut entries: Vec<_> = entries
            .into_iter()
            .filter_map(|(key, entry)| Some((Pattern::parse(&key)?, entry.into_credential()?)))
            .collect();
        // Backwards, a pattern comes after those that it is a prefix of, and one that begins with `*` comes last.
        entries.sort_by(|a, b| b.0.text.cmp(&a.0.text));
        Self { entries }
    }

    /// The credentials that fit `image`, in the order in which they are to be tried.
    pub fn lookup(&self, image: &ImageName) -> impl Iterator<Item = &Credential> {
        self.fitting(image).map(|(_, credential)| credential)
    }

    /// The same, each with the text of its pattern.
    pub(crate) fn fitting(&self, image: &ImageName) -> impl Iterator<Item = (&str, &Credential)> {
        let fitting = self.entries.iter().filter(|(pattern, _)| pattern.fits(image));
        fitting.map(|(pattern, credential)| (pattern.text.as_str(), credential))
    }
}

impl AuthEntry {
    fn into_credential(self) -> Option<Credential> {
        let (mut username, mut password) = (self.username, self.password);
        if !self.auth.is_empty() {
            let decoded = BASE64.decode(self.auth.trim()).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (user, pass) = decoded.split_once(':')?;
            username = user.to_owned();
            password = pass.trim_end_matches('\0').to_owned();
        }
        Some(Credential {
            username,
            password,
            identity_token: self.identitytoken,
            registry_token: self.registrytoken,
        })
    }
}

fn read(path: &Path) -> Result<Option<String>, KeyringError> {
    use std::io::Read;
    let failed = |source| KeyringError::Read { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE {
        return Err(KeyringError::TooLarge { path: path.to_owned() });
    }
    Ok(Some(text))
}

/// A registry pattern: host labels with `*` and `?` in them, an exact port, a path prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern {
    text: String,
    host: String,
    port: Option<String>,
    path: String,
}

impl Pattern {
    fn parse(key: &str) -> Option<Self> {
        let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (authority, path) = key.split_once('/').unwrap_or((key, ""));
        let path = path.trim_end_matches('/');
        // Old docker clients wrote the API version into the key.
        let version = ["v1", "v2"].into_iter().find_map(|version| path.strip_prefix(version));
        let path = version.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return None;
        }
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        Some(Self {
            text: key.to_owned(),
            host: host.to_owned(),
            port: port.map(str::to_owned),
            path: path.trim_start_matches('/').to_owned(),
        })
    }

    fn fits(&self, image: &ImageName) -> bool {
        let (host, port) = split_port(&image.registry);
        let labels: Vec<&str> = host.split('.').collect();
        let patterns: Vec<&str> = self.host.split('.').collect();
        self.port.as_deref() == port
            && labels.len() == patterns.len()
            && patterns.iter().zip(&labels).all(|(pattern, label)| glob(pattern.as_bytes(), label.as_bytes()))
            && image.path.starts_with(&self.path)
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(_, shorter)| glob(pattern, shorter))
        }
        (Some((b'?', rest)), Some((_, shorter))) => glob(rest, shorter),
        (Some((expected, rest)), Some((found, shorter))) if expected == found => glob(rest, shorter),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(keyring: &Keyring, image: &str) -> Vec<String> {
        keyring.lookup(&ImageName::parse(image).unwrap()).map(|c| c.username.clone()).collect()
    }

    #[test]
    fn matching() {
        let auth = |user: &str| serde_json::json!({"auth": BASE64.encode(format!("{user}:secret"))});
        let text = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": auth("hub"),
            "*.example.com": auth("any"),
            "reg.example.com/team": auth("team"),
            "reg.example.com:5000": {"username": "port", "password": "x"},
            "q.io/v1beta": {"auth": "YjpzZWNyZXQx"},
            "q.io/v2/": {"auth": "YWI6c2VjcmV0"},
            "unpadded.io": {"auth": "dTpzZWNyZQ"},
            "broken.example.com": {"auth": "???"},
        }});
        let keyring = Keyring::from_config_json(&text.to_string()).unwrap();
        assert_eq!(users(&keyring, "busybox"), ["hub"]);
        assert_eq!(users(&keyring, "reg.example.com/team/app"), ["team", "any"]);
        assert_eq!(users(&keyring, "reg.example.com/other"), ["any"]);
        assert_eq!(users(&keyring, "a.b.example.com/x"), Vec::<String>::new());
        assert_eq!(users(&keyring, "reg.example.com:5000/x"), ["port"]);
        assert_eq!(users(&keyring, "q.io/v1beta/x"), ["ab", "b"]);
        assert_eq!(users(&keyring, "q.io/x"), ["ab"]);
        assert_eq!(users(&keyring, "unpadded.io/x"), ["u"]);
    }

    #[test]
    fn no_secret_in_debug() {
        let credential =
            Credential { username: "u".into(), password: "hunter2".into(), ..Credential::default() };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }

    #[test]
    fn files_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Keyring::load(dir.path(), None).unwrap().entries.is_empty());
        std::fs::write(dir.path().join(".dockercfg"), r#"{"q.io": {"username": "old", "password": "p"}}"#)
            .unwrap();
        assert_eq!(users(&Keyring::load(dir.path(), None).unwrap(), "q.io/a"), ["old"]);
        std::fs::write(dir.path().join("config.json"), r#"{"auths": {"q.io": {"username": "new"}}}"#)
            .unwrap();
        assert_eq!(users(&Keyring::load(dir.path(), None).unwrap(), "q.io/a"), ["new"]);
        std::fs::write(dir.path().join("config.json"), "{\n  oops").unwrap();
        let error = Keyring::load(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains("line 2"), "{error}");
    }
}
