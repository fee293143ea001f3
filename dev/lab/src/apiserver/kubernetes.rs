//! `etcd` and `kube-apiserver`, with the flags that make a whole API server of them: Node and RBAC authorization,
//! NodeRestriction, and a log of what nodes ask. There is no controller and no scheduler, so that pods are to be created
//! with their node, and without a service account.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result};

use super::{ApiServer, identities};

/// One entry for each request of a node, written as it comes in (Kubernetes: "Auditing").
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\n\
    kind: Policy\n\
    omitStages: [ResponseStarted, ResponseComplete, Panic]\n\
    rules:\n\
    - {level: Metadata, userGroups: ['system:nodes']}\n\
    - {level: None}\n";

impl ApiServer {
    pub(super) fn start_kubernetes(&mut self, assets: &Path) -> Result<()> {
        let [clients, peers, port] = free_ports()?;
        let identities = identities::make(&self.dir, &self.node)?;
        for (kubeconfig, client) in
            [(self.admin_kubeconfig(), &identities.admin), (self.node_kubeconfig(), &identities.node)]
        {
            let text = identities::kubeconfig(port, &identities.authority, client);
            fs::write(&kubeconfig, text).with_context(|| format!("write {}", kubeconfig.display()))?;
        }
        let policy = self.dir.join("audit-policy.yaml");
        fs::write(&policy, AUDIT_POLICY).with_context(|| format!("write {}", policy.display()))?;

        let etcd = [
            format!("--data-dir={}", self.dir.join("etcd").display()),
            format!("--listen-client-urls=http://127.0.0.1:{clients}"),
            format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
        ];
        self.launch("etcd", &assets.join("etcd"), &etcd)?;
        let (certificate, key) = (identities.server.certificate.display(), identities.server.key.display());
        let server = [
            format!("--etcd-servers=http://127.0.0.1:{clients}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--tls-cert-file={certificate}"),
            format!("--tls-private-key-file={key}"),
            format!("--cert-dir={}", self.dir.join("kube-apiserver").display()),
            format!("--client-ca-file={}", identities.authority.display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={certificate}"),
            format!("--service-account-signing-key-file={key}"),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            // Kinds that berth knows, and that Kubernetes 1.36 leaves out unless it is told.
            "--runtime-config=certificates.k8s.io/v1beta1=true".to_owned(),
            "--feature-gates=ClusterTrustBundle=true,ClusterTrustBundleProjection=true,PodCertificateRequest=true"
                .to_owned(),
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", self.audit_log().display()),
        ];
        self.launch("kube-apiserver", &assets.join("kube-apiserver"), &server)
    }
}

/// Ports that nobody has, until somebody takes them.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are bound before any is let go, so that they differ.
    let mut bound = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
        *port = listener.local_addr().context("find a free port")?.port();
        bound.push(listener);
    }
    Ok(ports)
}
