//! Certificates of the server and of its clients.

use https::{Limits, TlsPolicy};
use rustls::version::TLS12;
use testkit::tls::{Authority, TlsClient};
use tokio::time::timeout;

use crate::rig::{DEADLINE, Rig, write};

#[tokio::test]
async fn a_certificate_says_who_asks_in_both_versions_of_http() {
    let rig = Rig::start().await;
    let (other, own) = (Authority::new("authority").unwrap(), &rig.authority);
    let good = own.client("admin", &["system:masters"]).unwrap();
    let (foreign, old) = (other.client("admin", &[]).unwrap(), own.expired_client("old").unwrap());
    let server = own.server().unwrap();
    for (identity, says) in [
        (Some(&good), "admin of system:masters"),
        (None, "nobody"),
        (Some(&foreign), "the client's certificate for \"admin\" is not good"),
        (Some(&old), "the client's certificate for \"old\" is not good"),
        (Some(&server), "the client's certificate for \"server\" is not good"),
    ] {
        let client = rig.client(identity);
        for client in [client.clone(), client.http2()] {
            let (status, answer) = client.get("/who").await.unwrap();
            assert!(status == 200 && answer.starts_with(says), "{answer}");
        }
    }
}

#[tokio::test]
async fn versions_are_as_the_policy_says() {
    for (min, answered) in [("VersionTLS12", true), ("VersionTLS13", false)] {
        let rig = Rig::with(Limits::default(), TlsPolicy::new(min, &[], &[]).unwrap()).await;
        let old = TlsClient::with_versions(rig.address, &rig.authority.certificate, None, &[&TLS12]).unwrap();
        assert_eq!(old.get("/who").await.is_ok(), answered, "{min}");
    }
}

#[tokio::test]
async fn changed_certificates_are_served() {
    let rig = Rig::start().await;
    let new = Authority::new("new").unwrap();
    let client = new.client("late", &[]).unwrap();
    let asks =
        |trusted: &Authority| TlsClient::new(rig.address, &trusted.certificate, Some(&client)).unwrap();
    assert!(asks(&new).get("/who").await.is_err());
    assert!(asks(&rig.authority).get("/who").await.unwrap().1.contains("is not good"));

    // With half of a pair changed, the old one goes on.
    let identity = new.server().unwrap();
    std::fs::write(rig.files("tls.crt"), &identity.certificate).unwrap();
    assert!(asks(&rig.authority).get("/who").await.is_ok());
    write(&rig.files("tls"), &identity);
    std::fs::write(rig.files("clients.crt"), &new.certificate).unwrap();
    let seen = async {
        while asks(&new).get("/who").await.ok() != Some((200, "late of ".to_owned())) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, seen).await.unwrap();
}
