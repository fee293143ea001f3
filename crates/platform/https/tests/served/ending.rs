//! How a server ends.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use https::{Limits, TlsPolicy};
use tokio::time::timeout;

use crate::rig::{DEADLINE, Rig};

#[tokio::test]
async fn answers_that_do_not_end_are_cut_off_when_the_server_ends() {
    let limits = Limits { grace: Duration::from_millis(100), ..Limits::default() };
    let rig = Rig::with(limits, TlsPolicy::default()).await;
    for client in [rig.client(None), rig.client(None).http2()] {
        let request = http::Request::get("/endless").body(Full::<Bytes>::default()).unwrap();
        let mut body = client.send(request).await.unwrap().into_body();
        let word = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(word, "word");
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
    }
    let idle = rig.client(None).connect().await.unwrap();
    rig.stop.cancel();
    timeout(DEADLINE, rig.task).await.unwrap().unwrap();
    drop(idle);
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
}
