use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use telemetry::metrics::Registry;

use super::*;
use crate::Metrics;
use crate::kubeconfig::ExecVersion;

/// A plugin that is this script, whose lines are counted in `runs` beside it.
fn plugin(folder: &Path, script: &str) -> Plugin {
    let command = folder.join("plugin");
    let runs = folder.join("runs");
    std::fs::write(&command, format!("#!/bin/sh\necho x >> {}\n{script}\n", runs.display())).unwrap();
    std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
    let exec = ExecPlugin {
        version: ExecVersion::V1,
        command: command.display().to_string(),
        args: vec!["sesame".into()],
        env: vec![("SUFFIX".into(), "!".into())],
        install_hint: Some("see the wiki\n".into()),
        cluster_info: true,
    };
    let mut cluster = serde_json::Map::new();
    cluster.insert("server".into(), "https://x".into());
    Plugin::new(exec, ClusterInfo(cluster), Arc::new(Metrics::register(&Registry::new()).of("x")))
}

fn runs(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("runs")).map_or(0, |runs| runs.lines().count())
}

fn printing(status: &str) -> String {
    format!(
        "cat <<END\n{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{status}}}\nEND"
    )
}

async fn token(plugin: &Plugin) -> Result<String, String> {
    let proof = plugin.proof().await.map_err(|error| telemetry::chain(&error))?;
    Ok(proof.authorization.unwrap().to_str().unwrap().to_owned())
}

#[tokio::test]
async fn prints_once_until_it_expires_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let status = r#"{"token":"$1$SUFFIX","expirationTimestamp":"2999-01-01T00:00:00Z"}"#;
    let plugin = plugin(folder.path(), &printing(status));
    let both = tokio::join!(token(&plugin), token(&plugin));
    assert_eq!(both, (Ok("Bearer sesame!".into()), Ok("Bearer sesame!".into())));
    assert_eq!(runs(folder.path()), 1);
    let shown = plugin.proof().await.unwrap();
    assert!(plugin.refused(&shown));
    token(&plugin).await.unwrap();
    assert_eq!(runs(folder.path()), 2);
}

#[tokio::test]
async fn expired_credentials_are_printed_again() {
    let folder = tempfile::tempdir().unwrap();
    let status = r#"{"token":"a","expirationTimestamp":"2001-01-01T00:00:00Z"}"#;
    let plugin = plugin(folder.path(), &printing(status));
    token(&plugin).await.unwrap();
    token(&plugin).await.unwrap();
    assert_eq!(runs(folder.path()), 2);
}

#[tokio::test]
async fn is_told_of_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("printf %s \"$KUBERNETES_EXEC_INFO\" > {}/info", folder.path().display());
    let plugin = plugin(folder.path(), &script);
    token(&plugin).await.unwrap_err();
    let info: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("info")).unwrap()).unwrap();
    let expected = serde_json::json!({
        "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
        "spec": {"interactive": false, "cluster": {"server": "https://x"}},
    });
    assert_eq!(info, expected);
}

#[tokio::test]
async fn a_certificate_is_an_identity() {
    let folder = tempfile::tempdir().unwrap();
    let plugin =
        plugin(folder.path(), &printing(r#"{"clientCertificateData":"cert","clientKeyData":"key"}"#));
    let proof = plugin.proof().await.unwrap();
    assert!(proof.authorization.is_none());
    assert_eq!(&*proof.identity.unwrap().certificate, b"cert");
}

#[tokio::test]
async fn failures_are_told_and_not_repeated_at_once() {
    for (script, expected) in [
        ("echo no luck >&2; exit 3", "failed with exit status: 3: no luck"),
        ("echo '{\"secret\": sesame'", "it is not valid at line 1 column"),
        (&printing("{}"), "neither a token nor a certificate"),
        (&printing("null"), "it has no status"),
        (&printing(r#"{"clientKeyData":"key"}"#), "only one of"),
        (
            &printing("{\"token\":\"a\"}").replace("io/v1\"", "io/v1beta1\""),
            "must be client.authentication.k8s.io/v1",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let plugin = plugin(folder.path(), script);
        let error = token(&plugin).await.unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
        assert!(!error.contains("sesame"), "{error}");
        token(&plugin).await.unwrap_err();
        assert_eq!(runs(folder.path()), 1);
        // Only now: a paused clock would not wait for the plugin.
        tokio::time::pause();
        tokio::time::advance(FAILED).await;
        tokio::time::resume();
        token(&plugin).await.unwrap_err();
        assert_eq!(runs(folder.path()), 2);
    }
}

#[tokio::test]
async fn a_missing_plugin_tells_where_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut plugin = plugin(folder.path(), "");
    plugin.exec.command = "/nowhere/plugin".into();
    let error = token(&plugin).await.unwrap_err();
    assert_eq!(
        error,
        "credential plugin /nowhere/plugin cannot be started (see the wiki): No such file or directory (os error 2)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path(), "exec sleep 1000");
    let error = token(&plugin).await.unwrap_err();
    assert!(error.ends_with("did not end within 30s"), "{error}");
}
