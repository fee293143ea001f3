//! Events over the wire.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use kubeapi::EventPublisher;
use serde_json::{Value, json};
use task::events::Recorder;
use tokio::sync::mpsc;
use types::{Event, EventKind, PodName, PodRef, StorageRef};

use crate::server::{Answer, Server, failure, within};

fn pod() -> PodRef {
    PodRef { name: PodName::new("default", "web"), uid: "1-2-3".into() }
}

#[tokio::test]
async fn told_counted_and_told_again_when_forgotten() {
    let known = Arc::new(Mutex::new(Vec::<String>::new()));
    let server = {
        let known = Arc::clone(&known);
        Server::start(move |asked| {
            let mut known = known.lock().unwrap();
            match asked.method.as_str() {
                "POST" => {
                    known.push(asked.body["metadata"]["name"].as_str().unwrap().to_owned());
                    Answer::Json(201, asked.body)
                }
                _ if known.iter().any(|name| asked.path.ends_with(name)) => {
                    Answer::Json(200, json!({"metadata": {}, "involvedObject": {}}))
                }
                _ => failure(404, "NotFound", "events not found"),
            }
        })
        .await
    };
    let (recorder, events) = Recorder::channel(100);
    let publisher = EventPublisher::new(server.client(), "worker");
    let running = tokio::spawn(publisher.run(events));
    let event =
        Event::warning(&pod(), "BackOff", "Back-off restarting").about(types::ContainerKind::Regular, "web");
    recorder.record(event.clone());
    server.wait(|asked| asked.len() == 1).await;
    recorder.record(event.clone());
    server.wait(|asked| asked.len() == 2).await;
    known.lock().unwrap().clear();
    recorder.record(event);
    server.wait(|asked| asked.len() == 4).await;
    recorder.record(Event::node(EventKind::Normal, "Starting", "Starting kubelet."));
    let volume = StorageRef { namespace: None, name: "pv".into(), uid: "4-5".into() };
    let claim = StorageRef { namespace: Some("shop".into()), name: "data".into(), uid: "6-7".into() };
    recorder.record(Event::warning(&pod(), "Odd", "so it is").about_storage(&volume));
    recorder.record(Event::warning(&pod(), "Odd", "so it is").about_storage(&claim));
    drop(recorder);
    within(running).await.unwrap();

    let asked = server.asked();
    let methods: Vec<_> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "POST", "POST", "POST", "POST"]);
    assert_eq!(asked[0].path, "/api/v1/namespaces/default/events");
    let body = &asked[0].body;
    assert_eq!(
        body["involvedObject"],
        json!({
            "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web", "uid": "1-2-3",
            "fieldPath": "spec.containers{web}",
        })
    );
    assert_eq!(body["source"], json!({"component": "kubelet", "host": "worker"}));
    assert_eq!(
        (&body["reportingComponent"], &body["reportingInstance"]),
        (&json!("kubelet"), &json!("worker"))
    );
    assert_eq!(
        (&body["type"], &body["reason"], &body["count"]),
        (&json!("Warning"), &json!("BackOff"), &json!(1))
    );
    assert_eq!(asked[1].body["count"], 2);
    assert_eq!(
        (&asked[3].body["count"], &asked[3].body["metadata"]["name"]),
        (&json!(3), &body["metadata"]["name"])
    );
    let node = &asked[4].body;
    assert_eq!(node["involvedObject"], json!({"kind": "Node", "name": "worker", "uid": "worker"}));
    assert_eq!(node["metadata"]["namespace"], "default");
    let (volume, claim) = (&asked[5].body, &asked[6].body);
    assert_eq!(
        volume["involvedObject"],
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "name": "pv", "uid": "4-5"})
    );
    assert_eq!(volume["metadata"]["namespace"], "default");
    assert_eq!(claim["involvedObject"]["kind"], "PersistentVolumeClaim");
    assert_eq!(claim["metadata"]["namespace"], "shop");
}

#[tokio::test]
async fn waits_for_a_server_that_is_not_well_and_gives_up_on_what_it_refuses() {
    let hold = Arc::new(AtomicBool::new(true));
    let holding = Arc::clone(&hold);
    let server = Server::start(move |asked| {
        if asked.body["reason"] == "Refused" {
            return failure(403, "Forbidden", "the namespace is being terminated");
        }
        match holding.load(SeqCst) {
            true => Answer::Text(503, &[("retry-after", "0")], "not yet"),
            false => Answer::Json(201, asked.body),
        }
    })
    .await;
    let (sender, events) = mpsc::channel(1000);
    let publisher = EventPublisher::new(server.client(), "worker");
    let dropped = publisher.dropped();
    let running = tokio::spawn(publisher.run(events));
    sender.send(Event::normal(&pod(), "Refused", "m")).await.unwrap();
    sender.send(Event::normal(&pod(), "Pulled", "first")).await.unwrap();
    server.wait(|asked| asked.len() >= 2).await;
    // These wait as one.
    for _ in 0..20 {
        sender.send(Event::normal(&pod(), "Pulled", "again")).await.unwrap();
    }
    while sender.capacity() < sender.max_capacity() {
        tokio::task::yield_now().await;
    }
    hold.store(false, SeqCst);
    drop(sender);
    within(running).await.unwrap();
    let asked = server.asked();
    let told: Vec<(&Value, &Value)> =
        asked.iter().rev().take(2).map(|asked| (&asked.body["message"], &asked.body["count"])).collect();
    assert_eq!(told, [(&json!("again"), &json!(20)), (&json!("first"), &json!(1))]);
    assert_eq!(dropped.load(SeqCst), 1);
}
