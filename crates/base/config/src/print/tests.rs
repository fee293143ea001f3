use std::path::Path;

use expect_test::expect;

use super::*;
use crate::file;
use crate::flags;
use crate::load::combine;

fn loaded(file: &str, flags: &[&str]) -> Loaded {
    let file = file::parse(Path::new("/etc/k.yaml"), file.as_bytes()).unwrap();
    let arguments = flags::parse(flags.iter().map(Into::into)).unwrap();
    combine(&arguments, Some(&file), &[]).unwrap()
}

const FILE: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
staticPodPath: /etc/kubernetes/manifests
staticPodURLHeader: {Authorization: [Bearer secret]}
registerWithTaints:
- key: node-role.kubernetes.io/control-plane
  effect: NoSchedule
evictionHard: {memory.available: 5%}
kubeReserved: {cpu: \"1\", memory: 1Gi}
logging:
  vmodule: [{filePattern: \"a*\", verbosity: 3}]
providerID: \"yes\"
";

#[test]
fn as_yaml() {
    let text = yaml(&loaded(FILE, &["-v=4", "--feature-gates=EventedPLEG=true", "--node-labels=a=b"]));
    expect![[""]].assert_eq(&text);
}

#[test]
fn what_is_printed_reads_the_same() {
    let first = loaded(&FILE.replace("Bearer secret", "<masked>"), &["-v=4", "--max-pods=7"]);
    let second = loaded(&yaml(&first), &[]);
    assert_eq!(first.config, second.config);
}

#[test]
fn as_json() {
    let text = json(&loaded(FILE, &["--max-pods=7"]));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["config"]["maxPods"], 7);
    assert_eq!(value["origins"]["maxPods"], "flag --max-pods");
    assert_eq!(value["origins"]["clusterDNS"], "/etc/k.yaml:4");
    assert!(!text.contains("secret"));
}

#[test]
fn text_that_looks_like_something_else_is_quoted() {
    for (text, expected) in [
        ("plain", "plain"),
        ("/var/log/pods", "/var/log/pods"),
        ("none", "none"),
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("", "\"\""),
        ("yes", "\"yes\""),
        ("NULL", "\"NULL\""),
        ("10Mi", "\"10Mi\""),
        ("0.0.0.0", "\"0.0.0.0\""),
        ("a # b", "\"a # b\""),
        ("a:", "\"a:\""),
        ("two\nlines", "\"two\\nlines\""),
    ] {
        assert_eq!(scalar(text), expected);
    }
}
