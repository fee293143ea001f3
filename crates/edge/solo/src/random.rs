//! Random names and identifiers.

use ring::rand::{SecureRandom, SystemRandom};

/// The characters of generated names: no vowels and nothing that looks like another, as Kubernetes has it.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Random bytes. The kernel's generator does not fail once it is seeded; were it to, ids would clash and be refused.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}

/// The five characters after a `generateName`.
pub(crate) fn suffix() -> String {
    bytes::<5>().iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// A random UUID (version 4).
pub(crate) fn uid() -> String {
    let mut b = bytes::<16>();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_look_as_they_should() {
        let uid = uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.as_bytes()[14], b'4');
        assert_eq!(suffix().len(), 5);
        assert_ne!(suffix() + &suffix(), suffix() + &suffix());
    }
}
