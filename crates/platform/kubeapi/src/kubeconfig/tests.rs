use secrecy::ExposeSecret;

use super::user::Authorization;
use super::*;

/// A kubeconfig with these fields of its cluster and its user.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: node
contexts:
- name: other
  context: {{cluster: other, user: other}}
- name: node
  context: {{cluster: local, user: me}}
clusters:
- name: local
  cluster: {{{cluster}}}
users:
- name: me
  user: {{{user}}}
"
    )
}

fn read(text: &str) -> Result<Kubeconfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubelet.conf");
    std::fs::write(&path, text).unwrap();
    Kubeconfig::read(&path)
        .map_err(|error| telemetry::chain(&error).replace(&path.display().to_string(), "FILE"))
}

const SERVER: &str = "server: \"https://10.0.0.1:6443\"";

#[test]
fn takes_the_current_context() {
    let read = read(&config(SERVER, "token: abc")).unwrap();
    assert_eq!(read.server(), "https://10.0.0.1:6443");
    assert!(read.cluster.authority.is_none() && !read.cluster.insecure);
    assert!(
        matches!(&read.user.authorization, Authorization::Token(token) if token.expose_secret() == "abc")
    );
}

#[test]
fn files_are_relative_to_its_folder_and_data_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubelet.conf");
    std::fs::write(folder.path().join("ca.crt"), "authority").unwrap();
    std::fs::write(folder.path().join("me.pem"), "both").unwrap();
    let cluster = format!("{SERVER}, certificate-authority: ca.crt, tls-server-name: api.local");
    let user =
        "client-certificate: me.pem, client-key: missing.pem, client-key-data: a2V5, tokenFile: sub/token";
    std::fs::write(&path, config(&cluster, user)).unwrap();
    let read = Kubeconfig::read(&path).unwrap();
    assert_eq!(&*read.cluster.authority.unwrap().read().unwrap(), b"authority");
    assert!(read.cluster.server_name.is_some());
    let (certificate, key) = read.user.certificate.unwrap();
    assert_eq!(&*certificate.read().unwrap(), b"both");
    assert_eq!(certificate.file(), Some(&*folder.path().join("me.pem")));
    assert_eq!(&*key.read().unwrap(), b"key");
    assert!(
        matches!(&read.user.authorization, Authorization::TokenFile(file) if *file == folder.path().join("sub/token"))
    );
}

#[test]
fn a_missing_file_is_named_with_its_field() {
    let user = "client-certificate: /nowhere/me.pem, client-key: /nowhere/me.pem";
    let (certificate, _) = read(&config(SERVER, user)).unwrap().user.certificate.unwrap();
    let error = telemetry::chain(&certificate.read().unwrap_err());
    assert!(
        error.ends_with(
            "users[me].user.client-certificate: /nowhere/me.pem: No such file or directory (os error 2)"
        ),
        "{error}"
    );
}

#[test]
fn a_plugin_in_both_versions() {
    let exec = |version: &str, rest: &str| {
        let user =
            format!("exec: {{apiVersion: client.authentication.k8s.io/{version}, command: get-token{rest}}}");
        let read = read(&config(SERVER, &user))?;
        match read.user.authorization {
            Authorization::Exec(plugin) => Ok(plugin),
            other => Err(format!("{other:?}")),
        }
    };
    let plugin = exec(
        "v1beta1",
        ", args: [a, b], env: [{name: A, value: b}], installHint: get it, provideClusterInfo: true",
    )
    .unwrap();
    assert_eq!(plugin.version, ExecVersion::V1Beta1);
    assert_eq!((plugin.command.as_str(), plugin.args.len(), plugin.cluster_info), ("get-token", 2, true));
    assert_eq!(plugin.env, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(plugin.install_hint.as_deref(), Some("get it"));
    assert!(exec("v1", ", interactiveMode: IfAvailable").is_ok());
    assert!(exec("v1", "").unwrap_err().contains("users[me].user.exec.interactiveMode is missing"));
    assert!(exec("v1alpha1", "").unwrap_err().contains("users[me].user.exec.apiVersion is"));
    assert!(exec("v1", ", interactiveMode: Always").unwrap_err().contains("no terminal"));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("a: [", "kubeconfig FILE: "),
        ("current-context: ''", "kubeconfig FILE: current-context is empty; the file has none"),
        (
            "current-context: x\ncontexts: [{name: a, context: {cluster: c, user: u}}]",
            "kubeconfig FILE: current-context names context \"x\"; the file has \"a\"",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]",
            "kubeconfig FILE: contexts[a].context.cluster names cluster \"c\"; the file has none",
        ),
        (&config("", ""), "kubeconfig FILE: clusters[local].cluster.server "),
        (&config("server: ftp://x", ""), "clusters[local].cluster.server must be https://HOST[:PORT]"),
        (
            &config(&format!("{SERVER}, certificate-authority-data: '%'"), ""),
            "clusters[local].cluster.certificate-authority-data is not base64",
        ),
        (
            &config(&format!("{SERVER}, certificate-authority: a, insecure-skip-tls-verify: true"), ""),
            "clusters[local].cluster.insecure-skip-tls-verify contradicts certificate-authority",
        ),
        (
            &config(&format!("{SERVER}, proxy-url: 'ftp://x'"), ""),
            "cluster.proxy-url must be http://HOST:PORT",
        ),
        (&config(SERVER, "client-key: a"), "users[me].user.client-certificate is missing beside the key"),
        (&config(SERVER, "client-certificate: a"), "users[me].user.client-key is missing beside"),
        (&config(SERVER, "username: a, token: b"), "users[me].user.username cannot be beside token"),
        (&config(SERVER, "auth-provider: {name: gcp}"), "users[me].user.auth-provider is gone"),
        (
            &config(SERVER, "").replace("user: me", "user: you"),
            "contexts[node].context.user names user \"you\"; the file has \"me\"",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_broken_file_shows_no_secret() {
    let error = read(&config(SERVER, "token: [sesame]")).unwrap_err();
    assert!(!error.contains("sesame"), "{error}");
    let error = Kubeconfig::read(Path::new("/nowhere/kubelet.conf")).unwrap_err();
    assert_eq!(
        telemetry::chain(&error),
        "kubeconfig /nowhere/kubelet.conf: No such file or directory (os error 2)"
    );
}
