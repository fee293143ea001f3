//! The driver against a systemd of our own at the other end of a socket pair. What a unit is called says what happens to
//! it.

use std::os::unix::net::UnixStream;

use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::message::Type as MessageType;
use zbus::wire::Type;
use zbus::{Guid, Message, MessageStream};

use super::*;
use crate::{Cap, CpuQuota};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OWNER: &str = ":1.1";
const PATH: &str = "/org/freedesktop/systemd1";

/// What systemd documents for these calls (org.freedesktop.systemd1(5)); it refuses any other types.
#[test]
fn calls_have_systemds_types() {
    type Properties<'a> = &'a [(&'a str, Variant<'a>)];
    type Start<'a> = (&'a str, &'a str, Properties<'a>, &'a [(&'a str, Vec<(&'a str, Variant<'a>)>)]);
    assert_eq!(Start::SIGNATURE.to_string(), "(ssa(sv)a(sa(sv)))");
    assert_eq!(<(&str, bool, Properties<'_>)>::SIGNATURE.to_string(), "(sba(sv))");

    let mut properties = of_new(&name("any"), Version::V2);
    properties.extend(of_limits(&limits(), Version::V2));
    for (name, variant) in to_wire(&properties) {
        let expected = match name {
            "Description" => "s",
            "Wants" => "as",
            "DefaultDependencies" => "b",
            name if name.ends_with("Accounting") => "b",
            _ => "t",
        };
        assert_eq!(variant.value_signature().to_string(), expected, "{name}");
    }
}

fn name(leaf: &str) -> CgroupName {
    CgroupName::new(["kubepods", leaf]).unwrap()
}

fn limits() -> Limits {
    Limits {
        cpu_shares: Some(2),
        cpu_quota: Some(CpuQuota { quota: Cap::Unlimited, period: 100_000 }),
        memory: Some(Cap::At(1)),
        pids: Some(Cap::At(1)),
        ..Limits::default()
    }
}

/// Answers every call, and passes on its name.
async fn serve(connection: Connection, calls: mpsc::Sender<String>) {
    let mut messages = MessageStream::from(&connection);
    while let Some(Ok(message)) = messages.next().await {
        if message.message_type() == MessageType::MethodCall {
            let header = message.header();
            let member = header.member().unwrap().to_string();
            answer(&connection, &message, &member).await;
            if member != "GetNameOwner" {
                calls.send(member).await.unwrap();
            }
        }
    }
}

async fn answer(connection: &Connection, call: &Message, member: &str) {
    let header = call.header();
    if member == "GetNameOwner" {
        // The part of the bus, which is not there.
        return connection.reply(&header, &OWNER).await.unwrap();
    }
    if !matches!(member, "StartTransientUnit" | "StopUnit") {
        return connection.reply(&header, &()).await.unwrap();
    }
    let text = format!("{:?}", call.body().data().bytes().escape_ascii().to_string());
    let refused = match member {
        "StartTransientUnit" if text.contains("exists") => Some("UnitExists"),
        "StopUnit" if text.contains("missing") => Some("NoSuchUnit"),
        _ if text.contains("forbidden") => Some("AccessDenied"),
        _ => None,
    };
    if let Some(refused) = refused {
        let error = format!("org.freedesktop.systemd1.{refused}");
        return connection.reply_error(&header, error.as_str(), &"no").await.unwrap();
    }
    let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
    let other = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/8").unwrap();
    let result = if text.contains("fails") { "dependency" } else { "done" };
    let ended = async |job: &OwnedObjectPath, result: &str| {
        let body = (7u32, job, "some.slice", result);
        connection.emit_signal(None::<&str>, PATH, MANAGER, "JobRemoved", &body).await.unwrap();
    };
    ended(&other, "canceled").await;
    // systemd may be done before it answers.
    if text.contains("quick") {
        ended(&job, result).await;
        connection.reply(&header, &job).await.unwrap();
    } else {
        connection.reply(&header, &job).await.unwrap();
        if !text.contains("hangs") {
            ended(&job, result).await;
        }
    }
}

async fn start() -> (Systemd, mpsc::Receiver<String>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = Builder::unix_stream(theirs).server(Guid::generate()).p2p();
    let client = Builder::unix_stream(ours).p2p();
    let (server, client) = futures::join!(server.build(), client.build());
    let server = server.unwrap();
    server.set_unique_name(OWNER).unwrap();
    let (calls, received) = mpsc::channel(16);
    tokio::spawn(serve(server, calls));
    let session = Session::over(client.unwrap()).await.unwrap();
    (Systemd { session: Mutex::new(Some(Arc::new(session))) }, received)
}

fn all(mut calls: mpsc::Receiver<String>) -> Vec<String> {
    std::iter::from_fn(|| calls.try_recv().ok()).collect()
}

#[tokio::test]
async fn slices_are_started_and_stopped() {
    let (systemd, calls) = start().await;
    for leaf in ["slow", "quick"] {
        systemd.ensure(&name(leaf), &limits(), Version::V2).await.unwrap();
        systemd.stop(&name(leaf)).await.unwrap();
    }
    systemd.update(&name("slow"), &limits(), Version::V2).await.unwrap();
    systemd.update(&name("slow"), &Limits::default(), Version::V2).await.unwrap();
    // The answer to the last call may be here before its name is.
    let calls = all(calls);
    assert_eq!(calls[..4], ["Subscribe", "StartTransientUnit", "StopUnit", "StartTransientUnit"]);
}

#[tokio::test]
async fn slices_that_are_there_already_get_their_limits() {
    let (systemd, mut calls) = start().await;
    systemd.ensure(&name("exists"), &limits(), Version::V2).await.unwrap();
    for expected in ["Subscribe", "StartTransientUnit", "SetUnitProperties"] {
        assert_eq!(calls.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn slices_that_are_gone_already_are_stopped() {
    let (systemd, _calls) = start().await;
    systemd.stop(&name("missing")).await.unwrap();
}

#[tokio::test]
async fn failures_are_told() {
    let (systemd, _calls) = start().await;
    let failed = systemd.ensure(&name("fails"), &limits(), Version::V2).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "systemd could not start kubepods-fails.slice: its job ended with \"dependency\" (see `systemctl status kubepods-fails.slice`)"
    );
    let refused = systemd.stop(&name("forbidden")).await;
    assert!(matches!(refused, Err(SystemdError::Refused { action: "stop", .. })));
}

#[tokio::test]
async fn a_job_that_hangs_is_given_up() {
    let (systemd, _calls) = start().await;
    tokio::time::pause();
    let late = systemd.ensure(&name("hangs"), &limits(), Version::V2).await;
    assert!(matches!(late, Err(SystemdError::TimedOut { .. })));
}
