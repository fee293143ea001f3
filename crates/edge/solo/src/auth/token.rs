//! Tokens of service accounts: signed JSON web tokens (RFC 7519, ES256), bound to the object they were made for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::User;
use super::user::AUTHENTICATED;
use crate::object;
use crate::store::Snapshot;

/// Who signs, as tokens name it; also the audience of tokens for this server.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 60;
/// No token is longer, in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// Why there is no token, or none to check others with.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key is not one for ES256.
    #[error("the key of service account tokens is not a PKCS#8 key for ECDSA with P-256")]
    Key,
    /// It could not be signed.
    #[error("the token could not be signed")]
    Sign,
}

/// An object that a token ends with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    /// As the claim names it: `pod`, `secret`, `node`.
    pub(crate) claim: &'static str,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What a token is to say.
#[derive(Clone, Debug)]
pub(crate) struct TokenSpec {
    pub(crate) namespace: String,
    pub(crate) account: String,
    pub(crate) account_uid: String,
    pub(crate) audiences: Vec<String>,
    /// Unix time in seconds.
    pub(crate) expires: i64,
    pub(crate) bound: Vec<Bound>,
}

/// Signs tokens and knows its own.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    /// How the key is named in the header of tokens.
    id: String,
}

impl Issuer {
    /// From a private key in PKCS#8 DER.
    pub(crate) fn new(pkcs8: &[u8]) -> Result<Self, TokenError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .map_err(|_| TokenError::Key)?;
        let id = BASE64.encode(Sha256::digest(key.public_key().as_ref()));
        Ok(Self { key, id })
    }

    /// A signed token.
    pub(crate) fn sign(&self, spec: &TokenSpec) -> Result<String, TokenError> {
        let now = crate::time::unix_now();
        let mut kubernetes = json!({
            "namespace": spec.namespace,
            "serviceaccount": {"name": spec.account, "uid": spec.account_uid},
        });
        for bound in &spec.bound {
            kubernetes[bound.claim] = json!({"name": bound.name, "uid": bound.uid});
        }
        let claims = json!({
            "aud": spec.audiences, "exp": spec.expires, "iat": now, "nbf": now, "iss": ISSUER,
            "jti": crate::random::uid(),
            "sub": format!("system:serviceaccount:{}:{}", spec.namespace, spec.account),
            "kubernetes.io": kubernetes,
        });
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| TokenError::Sign)?;
        Ok(format!("{signed}.{}", BASE64.encode(signature.as_ref())))
    }

    /// Who holds the token, and which of `audiences` it is for; none if it is not good now. What it is bound to has to
    /// be there still.
    pub(crate) fn check(
        &self,
        objects: &Snapshot,
        token: &str,
        audiences: &[String],
    ) -> Option<(User, Vec<String>)> {
        let claims = self.claims(token)?;
        let now = crate::time::unix_now();
        let number = |claim: &str| claims[claim].as_i64();
        if claims["iss"] != ISSUER
            || number("exp")? <= now
            || number("nbf").is_some_and(|from| from > now + LEEWAY)
        {
            return None;
        }
        let held: Vec<String> = audiences
            .iter()
            .filter(|asked| object::list(&claims, "/aud").iter().any(|own| own == asked.as_str()))
            .cloned()
            .collect();
        if held.is_empty() {
            return None;
        }
        let user = self.holder(objects, &claims)?;
        Some((user, held))
    }

    fn claims(&self, token: &str) -> Option<Value> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice::<Value>(&BASE64.decode(part).ok()?).ok();
        if json(header)?["alg"] != "ES256" {
            return None;
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &BASE64.decode(signature).ok()?)
            .ok()?;
        json(claims)
    }

    fn holder(&self, objects: &Snapshot, claims: &Value) -> Option<User> {
        let own = claims.get("kubernetes.io")?;
        let namespace = object::text(own, "/namespace");
        let name = object::text(own, "/serviceaccount/name");
        let uid = object::text(own, "/serviceaccount/uid");
        let lives = |resource: &str, namespace: &str, claim: &str| {
            let Some(bound) = own.get(claim) else { return true };
            objects
                .get(resource, namespace, object::text(bound, "/name"))
                .is_some_and(|found| object::uid(found) == object::text(bound, "/uid"))
        };
        let there =
            objects.get("serviceaccounts", namespace, name).is_some_and(|found| object::uid(found) == uid)
                && lives("pods", namespace, "pod")
                && lives("secrets", namespace, "secret");
        if !there {
            return None;
        }
        let mut user = User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            ..User::default()
        };
        let mut note = |key: &str, value: String| {
            if !value.is_empty() {
                user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
            }
        };
        note("credential-id", format!("JTI={}", object::text(claims, "/jti")));
        for claim in ["pod", "node"] {
            note(&format!("{claim}-name"), object::text(own, &format!("/{claim}/name")).to_owned());
            note(&format!("{claim}-uid"), object::text(own, &format!("/{claim}/uid")).to_owned());
        }
        Some(user)
    }

    /// The public key as a set of JSON web keys (RFC 7517).
    pub(crate) fn keys(&self) -> Value {
        // An uncompressed point: a byte that says so, then both coordinates.
        let point = self.key.public_key().as_ref();
        let (x, y) = (point.get(1..33).unwrap_or_default(), point.get(33..).unwrap_or_default());
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": BASE64.encode(x), "y": BASE64.encode(y)}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_token_is_good_while_what_it_is_bound_to_lives() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        store
            .write(|txn| {
                txn.put("serviceaccounts", json!({"metadata": {"namespace": "a", "name": "sa", "uid": "1"}}));
                txn.put("pods", json!({"metadata": {"namespace": "a", "name": "p", "uid": "2"}}));
                Ok(())
            })
            .await
            .unwrap();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let issuer = Issuer::new(pkcs8.as_ref()).unwrap();
        let spec = TokenSpec {
            namespace: "a".to_owned(),
            account: "sa".to_owned(),
            account_uid: "1".to_owned(),
            audiences: vec!["x".to_owned()],
            expires: crate::time::unix_now() + 600,
            bound: vec![Bound { claim: "pod", name: "p".to_owned(), uid: "2".to_owned() }],
        };
        let token = issuer.sign(&spec).unwrap();
        let check =
            |token: &str, audience: &str| issuer.check(&store.snapshot(), token, &[audience.to_owned()]);
        let (user, audiences) = check(&token, "x").unwrap();
        assert_eq!(user.name, "system:serviceaccount:a:sa");
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
        assert_eq!(audiences, ["x"]);
        assert!(check(&token, "y").is_none());
        assert!(check(&token.replace('.', ".A"), "x").is_none());
        assert!(check("a.b", "x").is_none() && check("", "x").is_none());
        let expired =
            issuer.sign(&TokenSpec { expires: crate::time::unix_now() - 1, ..spec.clone() }).unwrap();
        assert!(check(&expired, "x").is_none());

        store.write(|txn| Ok(txn.remove("pods", "a", "p"))).await.unwrap();
        assert!(check(&token, "x").is_none());
        let unbound = issuer.sign(&TokenSpec { bound: Vec::new(), ..spec }).unwrap();
        assert!(check(&unbound, "x").is_some());
        assert_eq!(issuer.keys()["keys"][0]["x"].as_str().map(str::len), Some(43));
    }
}
