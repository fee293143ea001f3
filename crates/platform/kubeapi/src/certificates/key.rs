//! Keys that never leave the node, and the proof that berth has them.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SignatureAlgorithm,
};
use secrecy::SecretString;

use crate::pem;

/// The types of keys that can be made.
pub(super) const TYPES: &str = "ECDSAP256, ECDSAP384 or ED25519";

/// Bytes of a PKCS #8 document before an Ed25519 seed, without the public key: some libraries read no other.
const ED25519_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Bytes of the seed.
const ED25519_SEED: usize = 32;

/// A new key.
pub(super) struct Key {
    /// As PKCS #8 in PEM.
    pub(super) pem: SecretString,
    /// A request for a certificate that says nothing but what the key is, signed with it (DER of PKCS #10).
    pub(super) proof: Vec<u8>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no library here that makes such keys.
    #[error("berth makes no keys of the type {0:?}: ask for {TYPES}")]
    Type(String),
    /// The library refused.
    #[error("no key of the type {key_type} could be made")]
    Made {
        /// The type.
        key_type: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// A new key of the type `key_type`, by Kubernetes' name.
pub(super) fn generate(key_type: &str) -> Result<Key, KeyError> {
    let algorithm: &'static SignatureAlgorithm = match key_type {
        "ECDSAP256" => &PKCS_ECDSA_P256_SHA256,
        "ECDSAP384" => &PKCS_ECDSA_P384_SHA384,
        "ED25519" => &PKCS_ED25519,
        other => return Err(KeyError::Type(other.to_owned())),
    };
    let failed = |source| KeyError::Made { key_type: key_type.to_owned(), source };
    let pair = KeyPair::generate_for(algorithm).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let proof = params.serialize_request(&pair).map_err(failed)?.der().to_vec();
    let der = pair.serialize_der();
    let der = match der.get(ED25519_HEAD.len()..ED25519_HEAD.len() + ED25519_SEED) {
        Some(seed) if key_type == "ED25519" => [&ED25519_HEAD, seed].concat(),
        _ => der,
    };
    Ok(Key { pem: pem::encode("PRIVATE KEY", &der).into(), proof })
}

#[cfg(test)]
mod tests {
    use rcgen::SigningKey;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn keys_can_be_read_again() {
        for key_type in ["ECDSAP256", "ECDSAP384"] {
            let key = generate(key_type).unwrap();
            KeyPair::from_pem(key.pem.expose_secret()).unwrap().sign(b"x").unwrap();
            assert_eq!(key.proof[0], 0x30);
        }
        let key = generate("ED25519").unwrap();
        let (_, der) = pem::blocks(key.pem.expose_secret()).remove(0);
        assert_eq!((der.len(), usize::from(der[1])), (48, 46));
        let error = generate("RSA4096").err().unwrap().to_string();
        assert_eq!(
            error,
            "berth makes no keys of the type \"RSA4096\": ask for ECDSAP256, ECDSAP384 or ED25519"
        );
    }
}
