//! One manifest of each kind.

/// The node of which the server knows, ready.
pub(crate) const NODE: &str = r#"{"apiVersion": "v1", "kind": "Node",
    "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
    "status": {
        "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6.1", "architecture": "amd64",
            "containerRuntimeVersion": "containerd://2.0", "operatingSystem": "linux", "bootID": "b", "machineID": "m",
            "systemUUID": "s", "kubeProxyVersion": ""}}}"#;

pub(crate) const EMPTY_NODE: &str = r"{apiVersion: v1, kind: Node, metadata: {name: x}}";

pub(crate) const NAMESPACE: &str = r"{apiVersion: v1, kind: Namespace, metadata: {name: x}}";

pub(crate) const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: x, labels: {app: x}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: a
    image: nginx:1
    ports: [{containerPort: 80}]
    env: [{name: PLAIN, value: b}, {name: TAKEN, valueFrom: {configMapKeyRef: {name: c, key: k}}}]
    resources: {limits: {cpu: 100m, memory: 64Mi}}
    livenessProbe: {httpGet: {path: /, port: 80}}
";

pub(crate) const CONFIG_MAP: &str =
    r#"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: "1"}, binaryData: {b: AAE=}}"#;

pub(crate) const SECRET: &str =
    r"{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {password: aHVudGVyMg==}}";

pub(crate) const SERVICE: &str = r"{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {selector: {app: x}, ports: [{name: http, port: 80}]}}";

pub(crate) const SERVICE_ACCOUNT: &str = r"{apiVersion: v1, kind: ServiceAccount, metadata: {name: x}}";

pub(crate) const EVENT: &str = r#"
apiVersion: v1
kind: Event
metadata: {name: x}
involvedObject: {apiVersion: v1, kind: Pod, name: x, namespace: default}
reason: Pulled
message: the image is there
type: Normal
count: 3
firstTimestamp: "2026-01-01T00:00:00Z"
lastTimestamp: "2026-01-01T00:00:00Z"
source: {component: kubelet, host: n1}
"#;

pub(crate) const LEASE: &str = r"{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x}, spec: {holderIdentity: me, leaseDurationSeconds: 40}}";

pub(crate) const VOLUME: &str = r"{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp/x}, storageClassName: manual}}";

pub(crate) const CLAIM: &str = r"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}, spec: {accessModes: [ReadWriteOnce], storageClassName: manual, resources: {requests: {storage: 1Gi}}}}";

pub(crate) const RUNTIME_CLASS: &str =
    r"{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: x}, handler: runc}";

pub(crate) const PRIORITY_CLASS: &str =
    r"{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 1000}";

pub(crate) const CSI_NODE: &str = r"{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: x}, spec: {drivers: [{name: d.example.com, nodeID: n1, topologyKeys: []}]}}";

pub(crate) const CSI_DRIVER: &str =
    r"{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: x}, spec: {attachRequired: false}}";

pub(crate) const STORAGE_CLASS: &str = r"{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: x}, provisioner: example.com/none}";

/// For `someone` of `people`, made with a key that nobody kept.
pub(crate) const SIGNING_REQUEST: &str = r"
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: x}
spec:
  request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIZU1JR0ZBZ0VBTUNNeER6QU5CZ05WQkFvTUJuQmxiM0JzWlRFUU1BNEdBMVVFQXd3SGMyOXRaVzl1WlRCWgpNQk1HQnlxR1NNNDlBZ0VHQ0NxR1NNNDlBd0VIQTBJQUJISjBKUnp4ampDQ3NIMUd6Yk16cE84TlpvYyt5aFlOCjY3bjhFT29hSkdNTktKZGRrbC9PNEdrTXhoQ2h4SVp3T29PNUZ0Qy9zd3BYRWtDYWxHa1pQc1NnQURBS0JnZ3EKaGtqT1BRUURBZ05JQURCRkFpQmQvcW5LaDYwdmtMZ1lrMFFCT0VySStDTzZHL1NpbkN5d2R5dHlvRFB0TVFJaApBSVM5d3hXTml2aitMSUtFRVRVS2dHV2RMaSt5WlAvV05wbHU5MDZkWDRacAotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
";
