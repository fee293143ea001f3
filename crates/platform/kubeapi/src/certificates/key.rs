//! Keys that never leave the node, and the proof that berth has them.

use std::error::Error;

use getrandom::SysRng;
use p521::ecdsa::signature::{SignatureEncoding, Signer};
use p521::ecdsa::{DerSignature, SigningKey};
use p521::elliptic_curve::Generate;
use p521::pkcs8::{EncodePrivateKey, SecretDocument};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SignatureAlgorithm,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use secrecy::SecretString;
use x509_cert::der::Encode;
use x509_cert::der::asn1::BitString;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::pem;

/// The types of keys that can be made.
const TYPES: &str = "RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521 or ED25519";

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

/// A new key, or why a library made none.
type Made = Result<Key, Box<dyn Error + Send + Sync>>;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Kubernetes knows no such keys, or did not yet when this was written.
    #[error("berth makes no keys of the type {0:?}: ask for {TYPES}")]
    Type(String),
    /// The library refused.
    #[error("no key of the type {key_type} could be made")]
    Made {
        /// The type.
        key_type: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A new key of the type `key_type`, by Kubernetes' name. One of RSA takes up to some seconds of CPU time.
pub(super) async fn generate(key_type: &str) -> Result<Key, KeyError> {
    let make: fn() -> Made = match key_type {
        "RSA3072" => || rsa(3072),
        "RSA4096" => || rsa(4096),
        "ECDSAP256" => || provided(&PKCS_ECDSA_P256_SHA256),
        "ECDSAP384" => || provided(&PKCS_ECDSA_P384_SHA384),
        "ECDSAP521" => p521,
        "ED25519" => || provided(&PKCS_ED25519),
        other => return Err(KeyError::Type(other.to_owned())),
    };
    let made = tokio::task::spawn_blocking(make).await.unwrap_or_else(|error| Err(error.into()));
    made.map_err(|source| KeyError::Made { key_type: key_type.to_owned(), source })
}

/// A key that the provider of TLS makes.
fn provided(algorithm: &'static SignatureAlgorithm) -> Made {
    let pair = KeyPair::generate_for(algorithm)?;
    let der = pair.serialize_der();
    match der.get(ED25519_HEAD.len()..ED25519_HEAD.len() + ED25519_SEED) {
        Some(seed) if *algorithm == PKCS_ED25519 => shown(&pair, &[&ED25519_HEAD, seed].concat()),
        _ => shown(&pair, &der),
    }
}

/// The provider signs with keys of RSA, and makes none.
fn rsa(bits: usize) -> Made {
    let document = rsa::PrivateKey::new(&mut SysRng, bits)?.to_pkcs8_der()?;
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(document.as_bytes()))?;
    shown(&pair, document.as_bytes())
}

/// The key `pair`, which is the PKCS #8 document `der`.
fn shown(pair: &KeyPair, der: &[u8]) -> Made {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let proof = params.serialize_request(pair)?.der().to_vec();
    Ok(Key { pem: pem::encode("PRIVATE KEY", der).into(), proof })
}

/// The provider knows nothing of this curve.
fn p521() -> Made {
    let secret = p521::SecretKey::try_generate_from_rng(&mut SysRng)?;
    let document: SecretDocument = secret.to_pkcs8_der()?;
    let key = SigningKey::from(secret);
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: SubjectPublicKeyInfo::from_key(key.verifying_key())?,
        attributes: Default::default(),
    };
    let signature: DerSignature = key.try_sign(&info.to_der()?)?;
    let algorithm = key.signature_algorithm_identifier()?;
    let signature = BitString::from_bytes(&signature.to_vec())?;
    let proof = CertReq { info, algorithm, signature }.to_der()?;
    Ok(Key { pem: pem::encode("PRIVATE KEY", document.as_bytes()).into(), proof })
}

#[cfg(test)]
mod tests {
    use p521::ecdsa::signature::Verifier;
    use p521::pkcs8::DecodePrivateKey;
    use rcgen::SigningKey as _;
    use rsa::traits::PublicKeyParts;
    use secrecy::ExposeSecret;
    use x509_cert::der::Decode;

    use super::*;

    /// The PKCS #8 document of a key.
    fn document(key: &Key) -> Vec<u8> {
        pem::blocks(key.pem.expose_secret()).remove(0).1
    }

    #[tokio::test]
    async fn keys_can_be_read_again() {
        for key_type in ["ECDSAP256", "ECDSAP384", "RSA3072", "RSA4096"] {
            let key = generate(key_type).await.unwrap();
            KeyPair::from_pem(key.pem.expose_secret()).unwrap().sign(b"x").unwrap();
            let proof = CertReq::from_der(&key.proof).unwrap();
            assert!(proof.info.subject.is_empty());
            if let Some(bits) = key_type.strip_prefix("RSA") {
                let read = rsa::PrivateKey::from_pkcs8_der(&document(&key)).unwrap();
                assert_eq!(read.n().bit_width().to_string(), bits);
            }
        }
        let key = generate("ED25519").await.unwrap();
        let der = document(&key);
        assert_eq!((der.len(), usize::from(der[1])), (48, 46));
    }

    #[tokio::test]
    async fn a_key_of_p521_signs_for_itself() {
        let key = generate("ECDSAP521").await.unwrap();
        let secret = p521::SecretKey::from_pkcs8_der(&document(&key)).unwrap();
        let proof = CertReq::from_der(&key.proof).unwrap();
        assert_eq!(proof.info.public_key, SubjectPublicKeyInfo::from_key(&secret.public_key()).unwrap());
        assert_eq!(proof.algorithm.oid.to_string(), "1.2.840.10045.4.3.4");
        let signature = DerSignature::from_bytes(proof.signature.raw_bytes()).unwrap();
        let by = p521::ecdsa::VerifyingKey::from(secret.public_key());
        by.verify(&proof.info.to_der().unwrap(), &signature).unwrap();
    }

    #[tokio::test]
    async fn other_types_are_named() {
        let error = generate("RSA1").await.err().unwrap().to_string();
        assert_eq!(
            error,
            "berth makes no keys of the type \"RSA1\": ask for RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521 or \
             ED25519"
        );
    }
}
