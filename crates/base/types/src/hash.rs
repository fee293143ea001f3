//! FNV-1a, the hash that Kubernetes uses wherever another kubelet has to come to the same value.

/// FNV-1a, 32 bits.
#[must_use]
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// FNV-1a, 64 bits.
#[must_use]
pub fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// FNV-1a, 128 bits.
#[must_use]
pub fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// The container hash of the annotation `io.kubernetes.container.hash`, in hex without leading zeros: FNV-1a-32 over
/// the JSON of name and image only, as the Go kubelet computes it, so that either of the two recognises the
/// containers of the other. The JSON is Go's: `<`, `>` and `&` are escaped.
#[must_use]
pub fn container_hash(name: &str, image: &str) -> String {
    // Go's encoding/json sorts map keys and leaves out what is empty.
    let mut json = String::from("{");
    if !image.is_empty() {
        json.push_str("\"image\":");
        go_json_string(&mut json, image);
    }
    if !name.is_empty() {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str("\"name\":");
        go_json_string(&mut json, name);
    }
    json.push('}');
    format!("{:x}", fnv1a_32(json.as_bytes()))
}

fn go_json_string(out: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    out.push_str(&quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published test vectors of FNV-1a (draft-eastlake-fnv, appendix C).
    #[test]
    fn vectors() {
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a_128(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn container_hash_covers_name_and_image_only() {
        assert_eq!(container_hash("web", "nginx"), container_hash("web", "nginx"));
        assert_ne!(container_hash("web", "nginx"), container_hash("web", "nginx:2"));
        assert_ne!(container_hash("a", "b"), container_hash("b", "a"));
    }
}
