use proptest::prelude::*;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::*;

/// A field with bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A field with a small number.
fn number(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::Varint, &mut out);
    encode_varint(value, &mut out);
    out
}

fn envelope(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let kind = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), field(1, &kind), field(2, raw), field(3, b""), field(4, b"")].concat()
}

#[test]
fn a_secret() {
    let meta = [field(1, b"s"), field(2, b""), field(8, b"")].concat();
    let data = [field(1, b"key"), field(2, b"value")].concat();
    let raw = [field(1, &meta), field(2, &data), field(3, b"Opaque"), number(5, 0)].concat();
    assert_eq!(
        decode(&envelope("v1", "Secret", &raw)).unwrap(),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "dmFsdWU="},
            "type": "Opaque", "immutable": false})
    );
}

#[test]
fn parts_without_a_name_belong_to_what_is_around_them() {
    let local = field(1, b"c");
    let volume = [field(1, b"v"), field(2, &field(19, &field(1, &local)))].concat();
    let spec = [field(1, &volume), number(4, 0), number(5, 7)].concat();
    assert_eq!(
        decode(&envelope("v1", "Pod", &field(2, &spec))).unwrap()["spec"],
        json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}], "terminationGracePeriodSeconds": 0, "activeDeadlineSeconds": 7})
    );
}

#[test]
fn numbers_or_texts_and_quantities() {
    let port = [number(3, 80), field(4, &[number(1, 1), number(2, 0), field(3, b"http")].concat())].concat();
    let spec = field(1, &port);
    assert_eq!(
        decode(&envelope("v1", "Service", &field(2, &spec))).unwrap()["spec"]["ports"],
        json!([{"port": 80, "targetPort": "http"}])
    );
    let entry = [field(1, b"cpu"), field(2, &field(1, b"2"))].concat();
    assert_eq!(
        decode(&envelope("v1", "Node", &field(3, &field(1, &entry)))).unwrap()["status"]["capacity"],
        json!({"cpu": "2"})
    );
}

#[test]
fn times() {
    // 1 s and 1 µs after the epoch.
    let at = [number(1, 1), number(2, 1000)].concat();
    let spec = field(4, &at);
    let lease = decode(&envelope("coordination.k8s.io/v1", "Lease", &field(2, &spec))).unwrap();
    assert_eq!(lease["spec"]["renewTime"], "1970-01-01T00:00:01.000001Z");
    let event = decode(&envelope("events.k8s.io/v1", "Event", &field(10, b"n"))).unwrap();
    assert_eq!(event["note"], "n");
}

#[test]
fn what_is_no_object() {
    assert!(matches!(decode(b"{}"), Err(ProtobufError::Magic)));
    assert!(matches!(decode(&envelope("apps/v1", "Deployment", b"")), Err(ProtobufError::Kind { .. })));
    let secret = envelope("v1", "Secret", &field(1, b"meta"));
    assert!(decode(&secret[..secret.len() - 6]).is_err());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), pick in 0_usize..3) {
        let kind = ["Pod", "Node", "Secret"][pick];
        let _ = read::message(&bytes, kind, 0);
        let _ = decode(&[MAGIC, &bytes].concat());
    }
}
