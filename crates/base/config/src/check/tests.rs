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
        &expect![[r#"
            k.yaml:11:3: warning: hairpinMode: has no effect: the container runtime sets up the network (remove it)
            k.yaml:15:60: error: featureGates.KubeletCredentialProviders: feature gate KubeletCredentialProviders is unknown
            k.yaml:18:3: warning: serverTLSBootstrap: is accepted, but not acted on yet
        "#]],
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
  MemoryQoS: true
  NodeDeclaredFeatures: true
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
        &expect![[r#"
            k.yaml:4:1: error: enforceNodeAllocatable: kube-reserved needs kubeReservedCgroup
            k.yaml:5:41: error: evictionHard[nodefs.avialable]: no such eviction signal; did you mean nodefs.available?
            k.yaml:6:1: warning: evictionSoft: is accepted, but not acted on yet
            k.yaml:7:3: error: evictionSoft[memory.available]: needs an entry in evictionSoftGracePeriod
            k.yaml:9:3: warning: featureGates.MemoryQoS: is accepted, but not acted on yet
            k.yaml:11:3: warning: featureGates.NodeSwap: is locked to true and will go (remove it)
            k.yaml:12:3: warning: featureGates.SeparateCacheWatchRPC: belongs to another component and has no effect here (remove it)
            k.yaml:16:1: warning: maxPods: 0 means "not set" here: the default 110 is used
            k.yaml:18:1: error: maxParallelImagePulls: more than 1 contradicts serializeImagePulls: true
            k.yaml:21:1: warning: imagePullProgressDeadline: unknown field
            k.yaml:22:1: error: containerLogMaxSize: "50 Mi" is not a quantity: expected a number with an optional suffix (n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent such as e3)
        "#]],
    );
}

#[test]
fn a_wrong_type_ends_the_check() {
    assert(
        &format!("{HEAD}syncFrequency: 5\n"),
        &expect![[r#"
        k.yaml:3:16: error: syncFrequency: invalid type: integer `5`, expected a string
    "#]],
    );
    assert(
        "kind: KubeletConfiguration\n",
        &expect![[r#"
        k.yaml:1:1: error: apiVersion: is "", but must be "kubelet.config.k8s.io/v1beta1"
    "#]],
    );
    assert(
        "a: b: c\n",
        &expect![[r#"
        k.yaml:1:5: error: mapping values are not allowed in this context
    "#]],
    );
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
