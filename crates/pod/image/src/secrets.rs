//! Registry credentials from the Secrets of a pod's `imagePullSecrets` (Kubernetes: "Pull an Image from a Private
//! Registry").

use std::sync::Arc;

use sha2::{Digest, Sha256};
use types::corev1::Secret;

use crate::keyring::{Credential, Keyring};
use crate::records::SecretUser;
use crate::reference::ImageName;

const CONFIG_JSON: &str = ".dockerconfigjson";
const DOCKERCFG: &str = ".dockercfg";

/// A credential, and the Secret that it is from; none if it is one of the node's own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Offer {
    pub(crate) credential: Credential,
    pub(crate) secret: Option<SecretUser>,
}

/// The credentials of `secrets` that fit `image`, in the order in which they are to be tried. A Secret of another type
/// has none; one that cannot be read is named and left out.
pub(crate) fn offers(secrets: &[Arc<Secret>], image: &ImageName) -> Vec<Offer> {
    let mut found = Vec::new();
    for secret in secrets {
        let Some(keyring) = keyring(secret) else { continue };
        let fitting = keyring.fitting(image).map(|(pattern, credential)| {
            let user = SecretUser::new(&secret.metadata, hash(credential));
            let offer = Offer { credential: credential.clone(), secret: Some(user) };
            (pattern.to_owned(), offer)
        });
        found.extend(fitting);
    }
    // All are one keyring, in which the most specific pattern comes first, whatever Secret it is from.
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.into_iter().map(|(_, offer)| offer).collect()
}

fn keyring(secret: &Secret) -> Option<Keyring> {
    let data = |key: &str| secret.data.as_ref()?.get(key).filter(|data| !data.0.is_empty());
    let (key, data) = match secret.type_.as_deref()? {
        "kubernetes.io/dockerconfigjson" => (CONFIG_JSON, data(CONFIG_JSON)?),
        "kubernetes.io/dockercfg" => (DOCKERCFG, data(DOCKERCFG)?),
        _ => return None,
    };
    let read = if key == CONFIG_JSON { Keyring::from_config_json } else { Keyring::from_dockercfg };
    // Neither error may be shown in full: it could quote a password.
    let line = match std::str::from_utf8(&data.0).map(read) {
        Ok(Ok(keyring)) => return Some(keyring),
        Ok(Err(error)) => error.line(),
        Err(_) => 0,
    };
    let (namespace, name) = (&secret.metadata.namespace, &secret.metadata.name);
    tracing::warn!(
        ?namespace,
        ?name,
        key,
        line,
        "The pull secret is no valid docker configuration and is left out"
    );
    None
}

/// What of a credential is recorded: SHA-256 of its JSON as Go writes it, so that other kubelets know it again.
fn hash(credential: &Credential) -> String {
    let fields = [
        ("username", &credential.username),
        ("password", &credential.password),
        ("identitytoken", &credential.identity_token),
        ("registrytoken", &credential.registry_token),
    ];
    let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let json: serde_json::Map<_, _> =
        set.map(|(name, value)| (name.to_owned(), value.as_str().into())).collect();
    let json = serde_json::Value::Object(json).to_string();
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    format!("{:x}", Sha256::digest(json))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::k8s::ByteString;

    use super::*;

    fn secret(name: &str, kind: &str, key: &str, text: &str) -> Arc<Secret> {
        let mut secret: Secret = serde_json::from_value(
            json!({"metadata": {"namespace": "n", "name": name, "uid": format!("uid-{name}")}, "type": kind}),
        )
        .unwrap();
        secret.data = Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into());
        Arc::new(secret)
    }

    fn config(name: &str, auths: &Value) -> Arc<Secret> {
        secret(
            name,
            "kubernetes.io/dockerconfigjson",
            ".dockerconfigjson",
            &json!({"auths": auths}).to_string(),
        )
    }

    fn names(secrets: &[Arc<Secret>], image: &str) -> Vec<String> {
        let name = |offer: Offer| format!("{}/{}", offer.secret.unwrap().name(), offer.credential.username);
        offers(secrets, &ImageName::parse(image).unwrap()).into_iter().map(name).collect()
    }

    #[test]
    fn the_most_specific_comes_first_whatever_its_secret() {
        let secrets = [
            config("wide", &json!({"*.example": {"username": "any"}, "q.example": {"username": "host"}})),
            config("narrow", &json!({"q.example/team": {"username": "team"}})),
            secret("old", "kubernetes.io/dockercfg", ".dockercfg", r#"{"q.example": {"username": "old"}}"#),
        ];
        assert_eq!(
            names(&secrets, "q.example/team/app"),
            ["narrow/team", "wide/host", "old/old", "wide/any"]
        );
        assert_eq!(names(&secrets, "r.example/app"), ["wide/any"]);
        assert_eq!(names(&secrets, "busybox"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_pull_secret_is_left_out() {
        let auths = r#"{"auths": {"q.example": {"username": "u"}}}"#;
        let secrets = [
            secret("opaque", "Opaque", ".dockerconfigjson", auths),
            secret("key", "kubernetes.io/dockerconfigjson", "config.json", auths),
            secret("broken", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{"),
            secret("fine", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", auths),
        ];
        assert_eq!(names(&secrets, "q.example/a"), ["fine/u"]);
    }

    #[test]
    fn hashes_are_those_of_other_kubelets() {
        let credential = Credential { username: "u".into(), password: "<p>".into(), ..Credential::default() };
        // What `printf '{"username":"u","password":"\u003cp\u003e"}' | sha256sum` says, the escapes taken literally.
        let json = r#"{"username":"u","password":"\u003cp\u003e"}"#;
        assert_eq!(hash(&credential), format!("{:x}", Sha256::digest(json)));
    }
}
