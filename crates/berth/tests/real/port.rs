//! A real agent with the node's own API, and a client that may use it.

use std::net::{Ipv4Addr, SocketAddr};

use testkit::containerd::{Node, Options};
use testkit::tls::{Authority, TlsClient};

use crate::rig::Rig;

/// An agent that serves its API, and somebody who may do everything there.
pub(crate) async fn served() -> (Rig, TlsClient) {
    served_with("", |_| {}).await
}

/// The same, with YAML for the agent's configuration, and what is done before it starts.
pub(crate) async fn served_with(yaml: &str, before: impl FnOnce(&Node)) -> (Rig, TlsClient) {
    let port = testkit::port::reserve().unwrap();
    let more = format!(
        "enableServer: true\naddress: 127.0.0.1\nport: {port}\ntlsCertFile: tls.crt\ntlsPrivateKeyFile: tls.key\n\
         authentication: {{webhook: {{enabled: false}}, x509: {{clientCAFile: clients.crt}}}}\n\
         authorization: {{mode: AlwaysAllow}}\n{yaml}"
    );
    let authority = Authority::new("authority").unwrap();
    let server = authority.server().unwrap();
    let start = |node: &mut Node| {
        before(node);
        let config = node.config();
        for (name, text) in [
            ("tls.crt", &server.certificate),
            ("tls.key", &server.key),
            ("clients.crt", &authority.certificate),
        ] {
            std::fs::write(config.with_file_name(name), text)?;
        }
        node.start()
    };
    let rig = Rig::starting(&more, Options::default(), start).await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let admin = authority.client("admin", &[]).unwrap();
    let client = TlsClient::new(address, &authority.certificate, Some(&admin)).unwrap();
    (rig, client)
}
