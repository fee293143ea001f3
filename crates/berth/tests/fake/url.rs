//! Manifests from a URL, beside those in files.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use testkit::pod::pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::rig::Rig;

/// A web server with one page.
struct Page {
    url: String,
    content: Arc<Mutex<Option<String>>>,
    serving: JoinHandle<()>,
}

impl Page {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pods", listener.local_addr().unwrap());
        let content = Arc::new(Mutex::new(None::<String>));
        let page = Arc::clone(&content);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let page = page.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let (status, body) = match page {
                        Some(body) => ("200 OK", body),
                        None => ("503 Service Unavailable", String::new()),
                    };
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url, content, serving }
    }

    /// Shows these pods, or with none an error.
    fn show(&self, pods: Option<&[&str]>) {
        let list = pods.map(|names| {
            let manifest = |name: &&str| serde_json::from_str::<Value>(&pod(name).manifest()).unwrap();
            let items: Vec<_> = names.iter().map(manifest).collect();
            json!({"apiVersion": "v1", "kind": "PodList", "items": items}).to_string()
        });
        *self.content.lock().unwrap() = list;
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn pods_of_a_url_come_and_go_and_outlive_its_failure() {
    let page = Page::serve().await;
    let config = format!("staticPodURL: {}\nhttpCheckFrequency: 1s\n", page.url);
    let mut rig = Rig::prepare(&config).await;
    page.show(Some(&["one", "two"]));
    rig.launch();
    rig.put(&pod("file"));
    for name in ["one", "two", "file"] {
        rig.until_ready(name).await;
    }
    page.show(None);
    rig.until_problems("the failure", |all| all[0]["reason"] == "FetchFailed").await;
    // A restart while the URL does not answer: nobody knows what it would say, and nobody is stopped.
    rig.runtime.clear_journal();
    rig.kill();
    rig.launch();
    rig.until_ready("file").await;
    rig.until_problems("the failure", |all| all[0]["reason"] == "FetchFailed").await;
    for name in ["one", "two"] {
        assert_eq!(rig.journal(name), [""; 0]);
    }
    page.show(Some(&["two"]));
    rig.until_ready("two").await;
    rig.until_gone("one").await;
    rig.until_problems("none", |all| all == &json!([])).await;
    assert_eq!(rig.runtime.starts("two-node", "main"), 1);
    rig.assert_proper();
}
