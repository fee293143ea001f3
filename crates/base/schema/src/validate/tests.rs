use proptest::prelude::*;
use serde_json::{Value, json};
use types::Pod;

use crate::{MAX_ERRORS, default_pod, validate_pod};

/// What is wrong with a valid pod after `patch` (a JSON merge patch, where lists are replaced) has been put on it.
fn errors(patch: Value) -> Vec<String> {
    let mut value = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "b:1"}]},
    });
    merge(&mut value, patch);
    let mut pod: Pod = serde_json::from_value(value).unwrap();
    default_pod(&mut pod);
    validate_pod(&pod).iter().map(ToString::to_string).collect()
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// Each error has to begin with the text given for it.
#[track_caller]
fn check(patch: Value, expected: &[&str]) {
    let found = errors(patch.clone());
    let matches = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(matches, "{patch}\n  found {found:#?}\n  expected {expected:#?}");
}

#[track_caller]
fn spec(spec: Value, expected: &[&str]) {
    check(json!({"spec": spec}), expected);
}

/// Checks a container with some more fields; paths are relative to it.
#[track_caller]
fn container(patch: Value, expected: &[&str]) {
    container_in(json!({}), patch, expected);
}

#[track_caller]
fn container_in(mut whole: Value, patch: Value, expected: &[&str]) {
    let mut container = json!({"name": "a", "image": "b:1"});
    merge(&mut container, patch);
    whole["containers"] = json!([container]);
    let expected: Vec<String> = expected.iter().map(|error| format!("spec.containers[0].{error}")).collect();
    spec(whole, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[track_caller]
fn volume(source: Value, expected: &[&str]) {
    let mut volume = json!({"name": "v"});
    merge(&mut volume, source);
    let expected: Vec<String> = expected.iter().map(|error| format!("spec.volumes[0]{error}")).collect();
    spec(json!({"volumes": [volume]}), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn metadata() {
    check(json!({}), &[]);
    check(json!({"metadata": {"name": null}}), &["metadata.name: Required value"]);
    check(
        json!({"metadata": {"name": "A_b"}}),
        &["metadata.name: Invalid value: \"A_b\": an RFC 1123 subdomain"],
    );
    check(json!({"metadata": {"namespace": "a.b"}}), &["metadata.namespace: Invalid value"]);
    check(json!({"metadata": {"labels": {"a b": "c"}}}), &["metadata.labels: Invalid value: \"a b\""]);
    check(json!({"metadata": {"labels": {"a": "-"}}}), &["metadata.labels[a]: Invalid value: \"-\""]);
    check(json!({"metadata": {"annotations": {"X.io/a": "anything ☃"}}}), &[]);
    check(
        json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    let key = "container.apparmor.security.beta.kubernetes.io/zz";
    check(
        json!({"metadata": {"annotations": {key: "what"}}}),
        &["metadata.annotations[", "metadata.annotations["],
    );
}

#[test]
fn containers() {
    spec(json!({"containers": []}), &["spec.containers: Required value"]);
    container(json!({"name": ""}), &["name: Required value"]);
    container(json!({"name": "A"}), &["name: Invalid value: \"A\""]);
    container(json!({"image": ""}), &["image: Required value"]);
    container(json!({"image": " b"}), &["image: Invalid value: \" b\""]);
    container(
        json!({"imagePullPolicy": "Now"}),
        &[
            "imagePullPolicy: Unsupported value: \"Now\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ],
    );
    container(json!({"terminationMessagePolicy": "Log"}), &["terminationMessagePolicy: Unsupported value"]);
    let twice = json!({"name": "a", "image": "b:1"});
    spec(json!({"containers": [twice, twice]}), &["spec.containers[1].name: Duplicate value: \"a\""]);
    spec(json!({"initContainers": [twice]}), &["spec.initContainers[0].name: Duplicate value: \"a\""]);
}

#[test]
fn ports() {
    container(json!({"ports": [{"containerPort": 0}]}), &["ports[0].containerPort: Required value"]);
    container(
        json!({"ports": [{"containerPort": 65536}]}),
        &["ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535"],
    );
    container(
        json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
        &["ports[1].name: Duplicate value: \"a\""],
    );
    container(
        json!({"ports": [{"containerPort": 1, "protocol": "tcp"}]}),
        &["ports[0].protocol: Unsupported value: \"tcp\""],
    );
    container(
        json!({"ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 3, "hostPort": 2}]}),
        &["ports[1].hostPort: Duplicate value: \"TCP//2\""],
    );
    container(
        json!({"ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 3, "hostPort": 2, "protocol": "UDP"}]}),
        &[],
    );
    container_in(
        json!({"hostNetwork": true}),
        json!({"ports": [{"containerPort": 1, "hostPort": 2}]}),
        &["ports[0].hostPort: Invalid value: 2"],
    );
    // An init container is done before the others want the port; a sidecar is not.
    let c =
        |name: &str| json!({"name": name, "image": "b:1", "ports": [{"containerPort": 1, "hostPort": 2}]});
    spec(json!({"initContainers": [c("i")], "containers": [c("a")]}), &[]);
    let mut sidecar = c("s");
    sidecar["restartPolicy"] = json!("Always");
    spec(
        json!({"initContainers": [sidecar], "containers": [c("a")]}),
        &["spec.containers[0].ports[0].hostPort: Duplicate value"],
    );
}

#[test]
fn environment() {
    let from = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    container(json!({"env": [{"name": "a b.c"}]}), &[]);
    container(json!({"env": [{"name": ""}]}), &["env[0].name: Required value"]);
    container(json!({"env": [{"name": "a=b"}]}), &["env[0].name: Invalid value: \"a=b\""]);
    container(from(json!({})), &["env[0].valueFrom: Invalid value: \"\": must specify one of"]);
    container(from(json!({"fieldRef": {"fieldPath": "status.podIP"}})), &[]);
    container(from(json!({"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}})), &[]);
    container(
        from(json!({"fieldRef": {"fieldPath": "metadata.labels['a b']"}})),
        &["env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"a b\""],
    );
    container(
        from(json!({"fieldRef": {"fieldPath": "spec.x['a']"}})),
        &["env[0].valueFrom.fieldRef.fieldPath: Invalid value"],
    );
    container(
        from(json!({"fieldRef": {"fieldPath": "metadata.labels"}})),
        &["env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\""],
    );
    container(from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}})), &[]);
    container(
        from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}})),
        &["env[0].valueFrom.resourceFieldRef.divisor: Unsupported value: \"2\""],
    );
    container(
        from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
        &["env[0].valueFrom.resourceFieldRef.resource: Unsupported value"],
    );
    container(from(json!({"resourceFieldRef": {"resource": "limits.hugepages-2Mi", "divisor": "1Mi"}})), &[]);
    container(
        from(json!({"fieldRef": {"fieldPath": "status.podIP"}, "secretKeyRef": {"name": "s", "key": "k"}})),
        &["env[0].valueFrom: Invalid value: \"\": may not have more than one source"],
    );
    container(
        json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}),
        &["env[0].valueFrom: Invalid value: \"\": may not be specified when value is not empty"],
    );
    container(
        from(json!({"configMapKeyRef": {"name": "", "key": "a/b"}})),
        &["env[0].valueFrom.configMapKeyRef.name: Required", "env[0].valueFrom.configMapKeyRef.key: Invalid"],
    );
    container(
        from(json!({"fileKeyRef": {"volumeName": "v", "path": "../a", "key": "K"}})),
        &["env[0].valueFrom.fileKeyRef.path: Invalid"],
    );
    container(json!({"envFrom": [{}]}), &["envFrom[0]: Invalid value"]);
    container(
        json!({"envFrom": [{"prefix": "=", "secretRef": {"name": "s"}}]}),
        &["envFrom[0].prefix: Invalid value"],
    );
}

#[test]
fn resources() {
    let own = |limits: Value, requests: Value| json!({"resources": {"limits": limits, "requests": requests}});
    container(own(json!({"cpu": "1"}), json!({"cpu": "500m"})), &[]);
    container(
        own(json!({"cpu": "1"}), json!({"cpu": "2"})),
        &["resources.requests[cpu]: Invalid value: \"2\": must be less than or equal to the limit of cpu, 1"],
    );
    container(own(json!({}), json!({"cpu": "-1"})), &["resources.requests[cpu]: Invalid value: \"-1\""]);
    container(own(json!({}), json!({"cpu": "much"})), &["resources.requests[cpu]: Invalid value: \"much\""]);
    container(own(json!({}), json!({"gpu": "1"})), &["resources.requests[gpu]: Invalid value: \"gpu\""]);
    container(own(json!({"x.io/g": "1"}), json!({})), &[]);
    container(
        own(json!({"x.io/g": "1500m"}), json!({})),
        &[
            "resources.limits[x.io/g]: Invalid value: \"1500m\": must be an integer",
            "resources.requests[x.io/g]: Invalid",
        ],
    );
    container(own(json!({}), json!({"x.io/g": "1"})), &["resources.limits[x.io/g]: Required value"]);
    container(
        own(json!({"x.io/g": "2"}), json!({"x.io/g": "1"})),
        &["resources.requests[x.io/g]: Invalid value: \"1\": must be equal"],
    );
    container(
        own(json!({"hugepages-2Mi": "4Mi"}), json!({})),
        &["resources: Forbidden: huge pages require cpu or memory"],
    );
    container(
        own(json!({"hugepages-2Mi": "3Mi", "cpu": "1"}), json!({})),
        &[
            "resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": must be a multiple",
            "resources.requests[hugepages-2Mi]: Invalid",
        ],
    );
    container(
        own(json!({"hugepages-x": "4Mi", "cpu": "1"}), json!({})),
        &["resources.limits[hugepages-x]: Invalid", "resources.requests[hugepages-x]: Invalid"],
    );
    container(
        json!({"resources": {"claims": [{"name": "c"}]}}),
        &["resources.claims[0].name: Not found: \"c\""],
    );
    container_in(
        json!({"resourceClaims": [{"name": "c", "resourceClaimName": "x"}]}),
        json!({"resources": {"claims": [{"name": "c"}, {"name": "c", "request": "r"}]}}),
        &["resources.claims[1]: Duplicate value: \"c/r\""],
    );
    container(
        json!({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "Maybe"}]}),
        &["resizePolicy[0].resourceName: Unsupported", "resizePolicy[0].restartPolicy: Unsupported"],
    );
    container_in(
        json!({"restartPolicy": "Never"}),
        json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}),
        &["resizePolicy[0].restartPolicy: Invalid value"],
    );
    // The pod's own.
    spec(
        json!({"resources": {"limits": {"x.io/g": "1"}}}),
        &["spec.resources.limits[x.io/g]: Unsupported value"],
    );
    spec(
        json!({"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "a", "image": "b:1", "resources": {"requests": {"cpu": "2"}}}]}),
        &["spec.resources.requests[cpu]: Invalid value: \"1\": must be at least"],
    );
    spec(
        json!({"resources": {"limits": {"cpu": "1"}}, "containers": [{"name": "a", "image": "b:1", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]}),
        &["spec.containers[0].resources.limits[cpu]: Invalid value: \"2\""],
    );
    spec(json!({"overhead": {"cpu": "-1"}}), &["spec.overhead[cpu]: Invalid value"]);
}

#[test]
fn mounts() {
    let mount = |patch: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/m"});
        merge(&mut mount, patch);
        json!({"volumeMounts": [mount]})
    };
    let with = |patch: Value, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|error| format!("volumeMounts[0].{error}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        container_in(json!({"volumes": [{"name": "v"}]}), mount(patch), &expected);
    };
    with(json!({}), &[]);
    with(json!({"name": "w"}), &["name: Not found: \"w\""]);
    with(json!({"mountPath": ""}), &["mountPath: Required value"]);
    with(json!({"subPath": "/a"}), &["subPath: Invalid value: \"/a\": must be a relative path"]);
    with(json!({"subPath": "a/../b"}), &["subPath: Invalid value"]);
    with(json!({"subPath": "a", "subPathExpr": "b"}), &["subPathExpr: Invalid value"]);
    with(json!({"mountPropagation": "Shared"}), &["mountPropagation: Unsupported value"]);
    with(json!({"mountPropagation": "Bidirectional"}), &["mountPropagation: Forbidden"]);
    with(json!({"recursiveReadOnly": "Enabled"}), &["recursiveReadOnly: Forbidden"]);
    with(json!({"recursiveReadOnly": "Enabled", "readOnly": true}), &[]);
    with(
        json!({"recursiveReadOnly": "Enabled", "readOnly": true, "mountPropagation": "HostToContainer"}),
        &["recursiveReadOnly: Forbidden"],
    );
    with(json!({"recursiveReadOnly": "Disabled"}), &[]);
    let m = json!({"name": "v", "mountPath": "/m"});
    container_in(
        json!({"volumes": [{"name": "v"}]}),
        json!({"volumeMounts": [m, m]}),
        &["volumeMounts[1].mountPath: Invalid value: \"/m\": must be unique"],
    );
    container_in(
        json!({"volumes": [{"name": "v"}]}),
        json!({"volumeDevices": [{"name": "v", "devicePath": ""}]}),
        &["volumeDevices[0].name: Invalid value", "volumeDevices[0].devicePath: Required"],
    );
}

#[test]
fn probes_and_hooks() {
    let exec = json!({"exec": {"command": ["true"]}});
    let probe = |patch: Value| {
        let mut probe = exec.clone();
        merge(&mut probe, patch);
        probe
    };
    container(json!({"livenessProbe": {}}), &["livenessProbe: Required value: must specify a handler type"]);
    container(json!({"livenessProbe": {"exec": {}}}), &["livenessProbe.exec.command: Required value"]);
    container(
        json!({"livenessProbe": probe(json!({"tcpSocket": {"port": 1}}))}),
        &["livenessProbe: Forbidden"],
    );
    container(
        json!({"livenessProbe": probe(json!({"periodSeconds": -1}))}),
        &["livenessProbe.periodSeconds: Invalid value: -1"],
    );
    container(
        json!({"livenessProbe": probe(json!({"successThreshold": 2}))}),
        &["livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    );
    container(json!({"readinessProbe": probe(json!({"successThreshold": 2}))}), &[]);
    container(
        json!({"readinessProbe": probe(json!({"terminationGracePeriodSeconds": 1}))}),
        &["readinessProbe.terminationGracePeriodSeconds: Invalid value"],
    );
    container(json!({"startupProbe": {"grpc": {"port": 0}}}), &["startupProbe.grpc.port: Invalid value: 0"]);
    container(
        json!({"startupProbe": {"httpGet": {"port": "no--name", "scheme": "FTP"}}}),
        &["startupProbe.httpGet.port: Invalid", "startupProbe.httpGet.scheme: Unsupported"],
    );
    container(
        json!({"startupProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}}),
        &["startupProbe.httpGet.httpHeaders[0].name: Invalid"],
    );
    container(
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        &["lifecycle.preStop.sleep.seconds: Invalid value: 31"],
    );
    container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}), &[]);
    container(json!({"lifecycle": {"postStart": {}}}), &["lifecycle.postStart: Required"]);
    container(json!({"lifecycle": {"stopSignal": "SIGTERM"}}), &["lifecycle.stopSignal: Forbidden"]);
    container_in(json!({"os": {"name": "linux"}}), json!({"lifecycle": {"stopSignal": "SIGRTMIN+3"}}), &[]);
    container_in(
        json!({"os": {"name": "linux"}}),
        json!({"lifecycle": {"stopSignal": "TERM"}}),
        &["lifecycle.stopSignal: Unsupported value: \"TERM\""],
    );
}

#[test]
fn restart_rules() {
    let rules = |rules: Value| json!({"restartPolicy": "Never", "restartPolicyRules": rules});
    let good = json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}});
    container(rules(json!([good])), &[]);
    container(json!({"restartPolicyRules": [good]}), &["restartPolicyRules: Required value"]);
    container(json!({"restartPolicy": "Sometimes"}), &["restartPolicy: Unsupported value"]);
    container(
        rules(json!([{"action": "Stop"}])),
        &["restartPolicyRules[0].action: Unsupported", "restartPolicyRules[0].exitCodes: Required"],
    );
    container(
        rules(json!([{"action": "Restart", "exitCodes": {"operator": "Is", "values": []}}])),
        &[
            "restartPolicyRules[0].exitCodes.operator: Unsupported",
            "restartPolicyRules[0].exitCodes.values: Required",
        ],
    );
    container(
        rules(json!(vec![good; 21])),
        &["restartPolicyRules: Too many: 21: must have at most 20 items"],
    );
}

#[test]
fn init_and_ephemeral_containers() {
    let init = |patch: Value| {
        let mut container = json!({"name": "i", "image": "b:1"});
        merge(&mut container, patch);
        json!({"initContainers": [container]})
    };
    let probe = json!({"exec": {"command": ["true"]}});
    spec(init(json!({"readinessProbe": probe})), &["spec.initContainers[0].readinessProbe: Forbidden"]);
    spec(init(json!({"lifecycle": {}})), &["spec.initContainers[0].lifecycle: Forbidden"]);
    spec(init(json!({"readinessProbe": probe, "restartPolicy": "Always"})), &[]);
    spec(
        json!({"ephemeralContainers": [{"name": "e", "image": "b:1", "resources": {}}]}),
        &["spec.ephemeralContainers: Forbidden"],
    );
    spec(
        json!({"ephemeralContainers": [{"name": "e", "image": "b:1", "targetContainerName": "z", "resources": {"limits": {"cpu": "1"}}}]}),
        &[
            "spec.ephemeralContainers: Forbidden",
            "spec.ephemeralContainers[0].targetContainerName: Not found",
            "spec.ephemeralContainers[0].resources: Forbidden",
        ],
    );
}

#[test]
fn security() {
    let context = |context: Value| json!({"securityContext": context});
    container(
        context(json!({"runAsUser": -1})),
        &["securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647"],
    );
    container(
        context(json!({"privileged": true, "allowPrivilegeEscalation": false})),
        &["securityContext.allowPrivilegeEscalation: Invalid value: false"],
    );
    container(
        context(json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": false})),
        &["securityContext.allowPrivilegeEscalation: Invalid value: false"],
    );
    container(context(json!({"procMount": "Unmasked"})), &["securityContext.procMount: Invalid value"]);
    container_in(json!({"hostUsers": false}), context(json!({"procMount": "Unmasked"})), &[]);
    container(
        context(json!({"seccompProfile": {"type": "Localhost"}})),
        &["securityContext.seccompProfile.localhostProfile: Required"],
    );
    container(
        context(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../a"}})),
        &["securityContext.seccompProfile.localhostProfile: Invalid"],
    );
    container(
        context(json!({"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "a"}})),
        &["securityContext.seccompProfile.localhostProfile: Invalid"],
    );
    container(
        context(json!({"appArmorProfile": {"type": "None"}})),
        &["securityContext.appArmorProfile.type: Unsupported"],
    );
    spec(
        context(json!({"supplementalGroups": [-1], "fsGroup": 1099511627776i64})),
        &["spec.securityContext.fsGroup: Invalid", "spec.securityContext.supplementalGroups[0]: Invalid"],
    );
    spec(
        context(json!({"fsGroupChangePolicy": "Never"})),
        &["spec.securityContext.fsGroupChangePolicy: Unsupported"],
    );
    spec(
        context(json!({"sysctls": [{"name": "a..b", "value": "1"}]})),
        &["spec.securityContext.sysctls[0].name: Invalid"],
    );
    let sysctl = json!({"name": "net.core.somaxconn", "value": "1"});
    spec(context(json!({"sysctls": [sysctl, sysctl]})), &["spec.securityContext.sysctls[1].name: Duplicate"]);
    spec(
        json!({"hostNetwork": true, "securityContext": {"sysctls": [sysctl]}}),
        &["spec.securityContext.sysctls[0].name: Invalid"],
    );
    spec(json!({"hostUsers": false, "hostPID": true}), &["spec.hostPID: Forbidden"]);
    spec(json!({"shareProcessNamespace": true, "hostPID": true}), &["spec.shareProcessNamespace: Invalid"]);
    spec(json!({"os": {"name": "plan9"}}), &["spec.os.name: Unsupported"]);
    spec(
        json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}),
        &["spec.securityContext.windowsOptions: Forbidden"],
    );
    spec(
        json!({"os": {"name": "windows"}, "securityContext": {"fsGroup": 1}}),
        &["spec.securityContext.fsGroup: Forbidden"],
    );
}

#[test]
fn network() {
    spec(json!({"hostname": "a.b"}), &["spec.hostname: Invalid"]);
    spec(json!({"hostnameOverride": "a.b", "hostNetwork": true}), &["spec.hostnameOverride: Forbidden"]);
    spec(json!({"hostnameOverride": "a".repeat(65)}), &["spec.hostnameOverride: Too long"]);
    spec(
        json!({"hostAliases": [{"ip": "1.2.3", "hostnames": ["A"]}]}),
        &["spec.hostAliases[0].ip: Invalid", "spec.hostAliases[0].hostnames[0]: Invalid"],
    );
    spec(json!({"dnsPolicy": "Mine"}), &["spec.dnsPolicy: Unsupported"]);
    spec(json!({"dnsPolicy": "None"}), &["spec.dnsConfig.nameservers: Required"]);
    spec(
        json!({"dnsConfig": {"nameservers": ["1.1.1.1", "::1", "1.1.1.2", "1.1.1.3"]}}),
        &["spec.dnsConfig.nameservers: Too many: 4"],
    );
    spec(json!({"dnsConfig": {"searches": vec!["a.b"; 33]}}), &["spec.dnsConfig.searches: Too many: 33"]);
    spec(
        json!({"dnsConfig": {"searches": ["_tcp.a.", "."], "options": [{"value": "1"}]}}),
        &["spec.dnsConfig.options[0]: Required"],
    );
}

#[test]
fn scheduling() {
    spec(json!({"restartPolicy": "Sometimes"}), &["spec.restartPolicy: Unsupported value: \"Sometimes\""]);
    spec(json!({"activeDeadlineSeconds": 0}), &["spec.activeDeadlineSeconds: Invalid value: 0"]);
    spec(
        json!({"terminationGracePeriodSeconds": -1}),
        &["spec.terminationGracePeriodSeconds: Invalid value: -1"],
    );
    let tolerate =
        |toleration: Value, expected: &[&str]| spec(json!({"tolerations": [toleration]}), expected);
    tolerate(json!({"operator": "Exists"}), &[]);
    tolerate(json!({"value": "a"}), &["spec.tolerations[0].operator: Invalid value: \"\""]);
    tolerate(
        json!({"key": "a", "operator": "Exists", "value": "a"}),
        &["spec.tolerations[0].value: Invalid"],
    );
    tolerate(json!({"key": "a", "tolerationSeconds": 1}), &["spec.tolerations[0].effect: Invalid"]);
    tolerate(json!({"key": "a", "effect": "Run"}), &["spec.tolerations[0].effect: Unsupported"]);
    let spread = json!({"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Panic"});
    spec(
        json!({"topologySpreadConstraints": [spread]}),
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid",
            "spec.topologySpreadConstraints[0].topologyKey: Required",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported",
        ],
    );
    spec(json!({"nodeSelector": {"a b": ""}}), &["spec.nodeSelector: Invalid"]);
    spec(
        json!({"readinessGates": [{"conditionType": ""}]}),
        &["spec.readinessGates[0].conditionType: Required"],
    );
    spec(json!({"nodeName": "n", "schedulingGates": [{"name": "a"}]}), &["spec.nodeName: Forbidden"]);
    spec(json!({"resourceClaims": [{"name": "c"}]}), &["spec.resourceClaims[0]: Required"]);
    spec(json!({"preemptionPolicy": "Ask"}), &["spec.preemptionPolicy: Unsupported"]);
    let term = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    spec(
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}),
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required",
        ],
    );
}

#[test]
fn volumes() {
    volume(json!({}), &[]);
    volume(json!({"name": "A"}), &[".name: Invalid"]);
    volume(json!({"emptyDir": {}, "hostPath": {"path": "/"}}), &[".emptyDir: Forbidden"]);
    volume(json!({"hostPath": {"path": ""}}), &[".hostPath.path: Required"]);
    volume(
        json!({"hostPath": {"path": "/a/../b"}}),
        &[".hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    );
    volume(json!({"hostPath": {"path": "/", "type": "Dir"}}), &[".hostPath.type: Unsupported"]);
    volume(json!({"emptyDir": {"sizeLimit": "-1"}}), &[".emptyDir.sizeLimit: Invalid"]);
    volume(json!({"emptyDir": {"medium": "Tape"}}), &[".emptyDir.medium: Unsupported"]);
    volume(json!({"emptyDir": {"medium": "HugePages-2Mi"}}), &[]);
    volume(json!({"emptyDir": {"medium": "HugePages-"}}), &[".emptyDir.medium: Invalid"]);
    volume(json!({"image": {}}), &[".image.reference: Required"]);
    volume(
        json!({"secret": {"defaultMode": 512}}),
        &[".secret.secretName: Required", ".secret.defaultMode: Invalid value: 512"],
    );
    volume(
        json!({"downwardAPI": {"items": [{"path": "..a"}]}}),
        &[".downwardAPI.items[0].path: Invalid", ".downwardAPI.items[0]: Required"],
    );
    volume(
        json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        &[],
    );
    volume(
        json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]}}),
        &[".downwardAPI.items[0].fieldRef.fieldPath: Unsupported"],
    );
    volume(
        json!({"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}}),
        &[".downwardAPI.items[0].resourceFieldRef.containerName: Required"],
    );
    let item = json!({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}});
    volume(json!({"projected": {"sources": [item, item]}}), &[".projected.sources[1]: Invalid value: \"a\""]);
    volume(json!({"projected": {"sources": [{}]}}), &[".projected.sources[0]: Required"]);
    volume(
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}}),
        &[".projected.sources[0].serviceAccountToken.expirationSeconds: Invalid"],
    );
    volume(json!({"nfs": {"server": "", "path": "/"}}), &[".nfs.server: Required"]);
    volume(json!({"csi": {"driver": "a b"}}), &[".csi.driver: Invalid"]);
    spec(
        json!({"volumes": [{"name": "v"}, {"name": "v"}]}),
        &["spec.volumes[1].name: Duplicate value: \"v\""],
    );
}

/// Field names and values that lead deep into a pod, so that random trees of them decode.
fn podish() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("a".to_owned()),
        Just("Always".to_owned()),
        Just("1Gi".to_owned()),
        Just("-5".to_owned()),
        Just("hugepages-2Mi".to_owned()),
        Just("metadata.labels['".to_owned()),
        "\\PC{0,20}",
    ];
    let amounts = || {
        prop::collection::btree_map(
            prop_oneof![Just("cpu".to_owned()), Just("hugepages-2Mi".to_owned()), "\\PC{0,9}"],
            text.clone(),
            0..3,
        )
    };
    let number = any::<i32>();
    let container = (text.clone(), text.clone(), amounts(), amounts(), number, text.clone(), text.clone())
        .prop_map(|(name, image, limits, requests, port, field, policy)| {
            json!({"name": name, "image": image, "restartPolicy": policy,
                "resources": {"limits": limits, "requests": requests},
                "ports": [{"containerPort": port, "hostPort": port, "name": field}],
                "env": [{"name": field, "valueFrom": {"fieldRef": {"fieldPath": field},
                    "resourceFieldRef": {"resource": field, "divisor": image}}}],
                "volumeMounts": [{"name": name, "mountPath": field, "subPath": field}],
                "livenessProbe": {"httpGet": {"port": port, "path": field}, "periodSeconds": port},
                "securityContext": {"runAsUser": port, "procMount": policy}})
        });
    let containers = || prop::collection::vec(container.clone(), 0..3);
    (containers(), containers(), text.clone(), amounts(), amounts(), any::<bool>(), any::<i64>()).prop_map(
        |(regular, init, text, limits, overhead, flag, number)| {
            json!({"metadata": {"name": text, "annotations": {&text: text}}, "spec": {
                "containers": regular, "initContainers": init, "hostNetwork": flag, "overhead": overhead,
                "resources": {"limits": limits}, "terminationGracePeriodSeconds": number,
                "activeDeadlineSeconds": number, "dnsConfig": {"searches": [text], "nameservers": [text]},
                "tolerations": [{"key": text, "operator": text, "value": text}],
                "volumes": [{"name": text, "emptyDir": {"sizeLimit": text, "medium": text}}, {"name": text}],
                "securityContext": {"sysctls": [{"name": text, "value": text}], "fsGroup": number}}})
        },
    )
}

proptest! {
    #[test]
    fn any_pod_is_judged_without_panic(value in podish()) {
        if let Ok(mut pod) = serde_json::from_value::<Pod>(value) {
            default_pod(&mut pod);
            let once = pod.clone();
            default_pod(&mut pod);
            prop_assert_eq!(&once, &pod, "a defaulted pod is a fixed point");
            let errors = validate_pod(&pod);
            prop_assert!(errors.len() <= MAX_ERRORS);
            let _ = crate::api_references(&pod);
        }
    }
}
