use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

fn assert(text: &str, expected: &Expect) {
    expected.assert_eq(&render(&check_bytes(Path::new("k.yaml"), text.as_bytes())));
}

#[test]
fn eks() {
    assert(
        r#"{
  "kind": "KubeletConfiguration",
  "apiVersion": "kubelet.config.k8s.io/v1beta1",
  "address": "0.0.0.0",
  "authentication": {
    "anonymous": {"enabled": false},
    "webhook": {"cacheTTL": "2m0s", "enabled": true},
    "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"}
  },
  "clusterDomain": "cluster.local",
  "hairpinMode": "hairpin-veth",
  "readOnlyPort": 0,
  "cgroupDriver": "systemd",
  "cgroupRoot": "/",
  "featureGates": {"RotateKubeletServerCertificate": true, "KubeletCredentialProviders": true},
  "protectKernelDefaults": true,
  "serializeImagePulls": false,
  "serverTLSBootstrap": true,
  "tlsCipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
  "clusterDNS": ["172.20.0.10"],
  "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
  "kubeReserved": {"cpu": "70m", "ephemeral-storage": "1Gi", "memory": "442Mi"},
  "maxPods": 17,
  "providerID": "aws:///us-west-2a/i-0123456789",
  "systemReservedCgroup": "/system",
  "kubeReservedCgroup": "/runtime"
}
"#,
        &expect![[""]],
    );
}

#[test]
fn gke() {
    assert(
        &format!(
            "{HEAD}enableDebuggingHandlers: true
enforceNodeAllocatable: [pods, kube-reserved]
evictionHard: {{memory.available: 100Mi, nodefs.avialable: 10%}}
evictionSoft:
  memory.available: 200Mi
featureGates:
  NodeSwap: true
  SeparateCacheWatchRPC: false
kubeReserved:
  cpu: 1060m
  memory: 1019Mi
maxPods: 0
readOnlyPort: 10255
maxParallelImagePulls: 4
serializeImagePulls: true
staticPodPath: /etc/kubernetes/manifests
imagePullProgressDeadline: 1m
containerLogMaxSize: 50 Mi
"
        ),
        &expect![[""]],
    );
}

#[test]
fn a_wrong_type_ends_the_check() {
    assert(&format!("{HEAD}syncFrequency: 5\n"), &expect![[""]]);
    assert("kind: KubeletConfiguration\n", &expect![[""]]);
    assert("a: b: c\n", &expect![[""]]);
}

#[test]
fn missing_files_are_findings() {
    let findings = check(&["/nowhere/at/all".into()]);
    assert!(
        findings[0].to_string().starts_with("/nowhere/at/all:1:1: error: cannot be read"),
        "{findings:?}"
    );
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,60}|[-a0 :\\[\\]{},&*!|>'\"#\n]{0,60}", field in 0..defaults::ZERO_IS_UNSET.len(), value in "[-0-9a-z\"%]{0,8}") {
        let _ = check_bytes(Path::new("k.yaml"), text.as_bytes());
        let field = defaults::ZERO_IS_UNSET[field];
        let _ = check_bytes(Path::new("k.yaml"), format!("{HEAD}{field}: {value}\n{text}").as_bytes());
    }
}
