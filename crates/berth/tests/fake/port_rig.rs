//! A node's API of the test's own: its certificates, its port, and a streaming server for the runtime behind it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use testkit::tls::{Authority, Identity, TlsClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::rig::{DEADLINE, Rig};

/// The part of a configuration that lets in whoever has a certificate, and lets them do everything.
pub(crate) const KNOWN_MAY: &str = "authentication: {webhook: {enabled: false}, x509: {clientCAFile: clients.crt}}\n\
                                    authorization: {mode: AlwaysAllow}\n";

/// What `more` of a configuration needs to have the port served: with these certificates, here.
pub(crate) fn served_on(port: u16, more: &str) -> String {
    format!(
        "enableServer: true\naddress: 127.0.0.1\nport: {port}\ntlsCertFile: tls.crt\ntlsPrivateKeyFile: tls.key\n{more}"
    )
}

/// The certificates of a rig's port.
pub(crate) struct Port {
    pub(crate) authority: Authority,
    pub(crate) number: u16,
}

impl Port {
    /// Puts certificates where the configuration of [`served_on`] has them.
    pub(crate) fn prepare(rig: &Rig, number: u16) -> Self {
        let authority = Authority::new("authority").unwrap();
        fs::write(rig.file("clients.crt"), &authority.certificate).unwrap();
        let port = Self { authority, number };
        port.renew(rig);
        port
    }

    /// Gives the server a new certificate.
    pub(crate) fn renew(&self, rig: &Rig) {
        let server = self.authority.server().unwrap();
        for (name, text) in [("tls.crt", &server.certificate), ("tls.key", &server.key)] {
            fs::write(rig.file(".new"), text).unwrap();
            fs::rename(rig.file(".new"), rig.file(name)).unwrap();
        }
    }

    pub(crate) fn client(&self, identity: Option<&Identity>) -> TlsClient {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.number));
        TlsClient::new(address, &self.authority.certificate, identity).unwrap()
    }

    /// Somebody with a certificate.
    pub(crate) fn known(&self) -> TlsClient {
        self.client(Some(&self.authority.client("admin", &[]).unwrap()))
    }

    /// Waits until the port answers, whatever it says.
    pub(crate) async fn until_served(&self) {
        let answered = async {
            while self.client(None).get("/healthz").await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answered).await.expect("the port answers");
    }

    /// Begins a stream, and gives the first line of the answer.
    pub(crate) async fn stream(&self, path: &str) -> (TlsStream<TcpStream>, String) {
        let mut stream = self.known().connect().await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
             content-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        (stream, head.lines().next().unwrap().to_owned())
    }
}

async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A streaming server that says back what it is told. Gives its URL.
pub(crate) async fn echo() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await;
                let switch =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\r\n";
                stream.write_all(switch.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    url
}
