//! What a token says of itself. Its signature is not looked at: that is for whoever the token is shown to.
//! (Kubernetes: "Managing Service Accounts", schema of service account private claims.)

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use super::TokenSpec;
use super::age::Age;

#[derive(Deserialize)]
struct Claims {
    aud: OneOrMore,
    exp: i64,
    iat: i64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

/// RFC 7519 lets one audience stand alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    pod: Named,
    serviceaccount: Named,
    /// When a token whose life was extended ought to have been replaced.
    warnafter: Option<i64>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    uid: String,
}

/// How long `token` is good for, if it says of itself that it is what `spec` asks for.
pub(super) fn age_of(token: &str, spec: &TokenSpec) -> Option<Age> {
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let Kubernetes { namespace, pod, serviceaccount, warnafter } = claims.kubernetes;
    let audiences = match claims.aud {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    };
    let is_it = *namespace == *spec.pod.name.namespace
        && *pod.name == *spec.pod.name.name
        && pod.uid == spec.pod.uid.as_str()
        && serviceaccount.name == spec.service_account
        // Which audiences the API server has itself is for it to know.
        && (spec.audiences.is_empty() || spec.audiences == audiences);
    let expires = warnafter.unwrap_or(claims.exp);
    let age =
        Age { expires: Timestamp::from_second(expires).ok()?, seconds: expires.checked_sub(claims.iat) };
    is_it.then_some(age)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use types::{PodName, PodRef};

    use super::*;

    fn token(payload: &Value) -> String {
        format!("head.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    fn payload() -> Value {
        json!({"aud": ["vault"], "exp": 4600, "iat": 1000, "nbf": 1000, "iss": "x", "kubernetes.io": {
            "namespace": "n", "pod": {"name": "p", "uid": "1-2"}, "serviceaccount": {"name": "sa", "uid": "3"}}})
    }

    fn spec() -> TokenSpec {
        TokenSpec {
            pod: PodRef { name: PodName::new("n", "p"), uid: "1-2".into() },
            service_account: "sa".to_owned(),
            audiences: vec!["vault".to_owned()],
            expiration_seconds: Some(3600),
        }
    }

    #[test]
    fn a_token_tells_its_age() {
        let age = age_of(&token(&payload()), &spec()).unwrap();
        assert_eq!((age.expires.as_second(), age.seconds), (4600, Some(3600)));
        let mut extended = payload();
        extended["kubernetes.io"]["warnafter"] = json!(2000);
        extended["aud"] = json!("vault");
        let age = age_of(&token(&extended), &spec()).unwrap();
        assert_eq!((age.expires.as_second(), age.seconds), (2000, Some(1000)));
        let own = TokenSpec { audiences: vec![], ..spec() };
        assert!(age_of(&token(&payload()), &own).is_some());
    }

    #[test]
    fn a_token_of_somebody_else_is_none() {
        for (path, value) in [
            ("/aud", json!(["other"])),
            ("/kubernetes.io/namespace", json!("m")),
            ("/kubernetes.io/pod/name", json!("q")),
            ("/kubernetes.io/pod/uid", json!("9")),
            ("/kubernetes.io/serviceaccount/name", json!("root")),
            ("/kubernetes.io/pod", json!(null)),
            ("/exp", json!("soon")),
        ] {
            let mut payload = payload();
            *payload.pointer_mut(path).unwrap() = value;
            assert!(age_of(&token(&payload), &spec()).is_none(), "{path}");
        }
        for text in ["", "a", "a.b.c", "a..c", "a.e30.c"] {
            assert!(age_of(text, &spec()).is_none(), "{text}");
        }
    }
}
