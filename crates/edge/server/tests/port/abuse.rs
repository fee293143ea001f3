//! Many clients, and those that go away.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::time::timeout;

use crate::rig::{DEADLINE, Door, Rig};

#[tokio::test]
async fn two_hundred_followers_that_go_leave_nothing() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let mut bodies = Vec::new();
    for number in 0..200 {
        let client = rig.known("admin");
        let client = if number % 2 == 0 { client } else { client.http2() };
        let request = http::Request::get("/containerLogs/default/web/app?follow=true");
        let mut body =
            client.send(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap().into_body();
        let line = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(line.starts_with(b"LogQuery { follow: true"));
        bodies.push(body);
    }
    assert_eq!(rig.agent.readers.load(SeqCst), 200);
    assert_eq!(rig.known("admin").get("/healthz").await.unwrap().0, 200, "others are served");
    drop(bodies);
    rig.until_quiet().await;
}

#[tokio::test]
async fn a_server_that_ends_gives_its_followers_up() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let request = http::Request::get("/containerLogs/default/web/app?follow=true");
    let answer = rig.known("admin").send(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    rig.stop.cancel();
    let ended = async { while let Some(Ok(_)) = body.frame().await {} };
    timeout(DEADLINE, ended).await.unwrap();
    timeout(DEADLINE, rig.task).await.unwrap().unwrap();
    assert_eq!(rig.agent.readers.load(SeqCst), 0);
}
