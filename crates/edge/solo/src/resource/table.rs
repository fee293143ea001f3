//! The rows.

use types::k8s::api;
use types::k8s::api::{
    authentication, authorization, certificates, coordination, discovery, node, scheduling, storage,
};
use types::{Pod, corev1};

use super::codec::typed;
use super::{Keeping, Resource, Selectable, event};
use crate::printer::{self, Printer};
use crate::rules::{self, Rules};

const fn row(
    group: &'static str,
    kind: &'static str,
    singular: &'static str,
    plural: &'static str,
    store: &'static str,
    decode: super::Decode,
) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        singular,
        kind,
        short_names: &[],
        namespaced: false,
        in_all: false,
        subresources: &[],
        counts_generations: false,
        created_with_status: false,
        keeping: Keeping::Stored,
        name_is_label: false,
        store,
        view: None,
        selectable: &[],
        decode,
        rules: &rules::NONE,
        printer: &printer::DEFAULT,
    }
}

impl Resource {
    const fn namespaced(mut self) -> Self {
        self.namespaced = true;
        self
    }
    const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }
    const fn with(mut self, subresources: &'static [&'static str]) -> Self {
        self.subresources = subresources;
        self
    }
    const fn ruled(mut self, rules: &'static Rules) -> Self {
        self.rules = rules;
        self
    }
    const fn printed(mut self, printer: &'static Printer) -> Self {
        self.printer = printer;
        self
    }
    const fn selected_by(mut self, fields: &'static [Selectable]) -> Self {
        self.selectable = fields;
        self
    }
    const fn transient(mut self) -> Self {
        self.keeping = Keeping::Asked;
        self
    }
    const fn named_by_label(mut self) -> Self {
        self.name_is_label = true;
        self
    }
}

const PODS: Resource = {
    let mut row = row("", "Pod", "pod", "pods", "pods", typed::<Pod>)
        .namespaced()
        .short(&["po"])
        .with(&[
            "status",
            "binding",
            "eviction",
            "ephemeralcontainers",
            "resize",
            "log",
            "exec",
            "attach",
            "portforward",
            "proxy",
        ])
        .ruled(&rules::POD)
        .printed(&printer::PODS)
        .selected_by(&[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("spec.hostNetwork", "/spec/hostNetwork"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
            ("status.nominatedNodeName", "/status/nominatedNodeName"),
        ]);
    row.in_all = true;
    row.counts_generations = true;
    row
};

const NODES: Resource = {
    let mut row = row("", "Node", "node", "nodes", "nodes", typed::<corev1::Node>)
        .short(&["no"])
        .with(&["status", "proxy"])
        .ruled(&rules::NODE)
        .printed(&printer::NODES)
        .selected_by(&[("spec.unschedulable", "/spec/unschedulable")]);
    row.created_with_status = true;
    row
};

const EVENT_FIELDS: &[Selectable] = &[
    ("involvedObject.kind", "/involvedObject/kind"),
    ("involvedObject.namespace", "/involvedObject/namespace"),
    ("involvedObject.name", "/involvedObject/name"),
    ("involvedObject.uid", "/involvedObject/uid"),
    ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    ("regarding.kind", "/involvedObject/kind"),
    ("regarding.namespace", "/involvedObject/namespace"),
    ("regarding.name", "/involvedObject/name"),
    ("regarding.uid", "/involvedObject/uid"),
    ("reason", "/reason"),
    ("reportingComponent", "/reportingComponent"),
    ("source", "/source/component"),
    ("type", "/type"),
];

const EVENTS: Resource = row("", "Event", "event", "events", "events", typed::<corev1::Event>)
    .namespaced()
    .short(&["ev"])
    .ruled(&rules::EVENT)
    .printed(&printer::EVENTS)
    .selected_by(EVENT_FIELDS);

const NEW_EVENTS: Resource = {
    let mut row = row("events.k8s.io", "Event", "event", "events", "events", typed::<api::events::v1::Event>)
        .namespaced()
        .short(&["ev"])
        .ruled(&rules::EVENT)
        .printed(&printer::EVENTS)
        .selected_by(EVENT_FIELDS);
    row.view = Some(event::VIEW);
    row
};

const SERVICES: Resource = {
    let mut row = row("", "Service", "service", "services", "services", typed::<corev1::Service>)
        .namespaced()
        .short(&["svc"])
        .with(&["status", "proxy"])
        .named_by_label()
        .ruled(&rules::SERVICE)
        .printed(&printer::SERVICES)
        .selected_by(&[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")]);
    row.in_all = true;
    row
};

/// What objects of a stored resource use. Nothing of it is ever written.
const fn metrics(kind: &'static str, plural: &'static str, store: &'static str) -> Resource {
    let mut row = row("metrics.k8s.io", kind, "", plural, store, typed::<serde_json::Value>);
    row.version = "v1beta1";
    row.keeping = Keeping::Measured;
    row
}

/// Trust anchors that signers publish.
const TRUST_BUNDLES: Resource = {
    let mut row = row(
        "certificates.k8s.io",
        "ClusterTrustBundle",
        "clustertrustbundle",
        "clustertrustbundles",
        "clustertrustbundles.certificates.k8s.io",
        typed::<certificates::v1beta1::ClusterTrustBundle>,
    )
    .selected_by(&[("spec.signerName", "/spec/signerName")]);
    row.version = "v1beta1";
    row
};

/// Certificates that nodes ask for in the name of their pods.
const CERTIFICATE_REQUESTS: Resource = {
    let mut row = row(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "podcertificaterequest",
        "podcertificaterequests",
        "podcertificaterequests.certificates.k8s.io",
        typed::<certificates::v1beta1::PodCertificateRequest>,
    )
    .namespaced()
    .with(&["status"])
    .selected_by(&[("spec.signerName", "/spec/signerName"), ("spec.nodeName", "/spec/nodeName")]);
    row.version = "v1beta1";
    row
};

/// A core resource.
macro_rules! core {
    ($kind:ident, $singular:literal, $plural:literal) => {
        row("", stringify!($kind), $singular, $plural, $plural, typed::<corev1::$kind>)
    };
}

/// A resource of another group; its objects are stored under `plural.group`.
macro_rules! grouped {
    ($module:ident :: $kind:ident, $group:literal, $singular:literal, $plural:literal) => {
        row(
            $group,
            stringify!($kind),
            $singular,
            $plural,
            concat!($plural, ".", $group),
            typed::<$module::v1::$kind>,
        )
    };
}

/// Every resource. A client looks a name up in this order, so the core group comes first.
pub(crate) const RESOURCES: &[Resource] = &[
    PODS,
    NODES,
    core!(Namespace, "namespace", "namespaces")
        .short(&["ns"])
        .with(&["status", "finalize"])
        .named_by_label()
        .ruled(&rules::NAMESPACE)
        .printed(&printer::NAMESPACES)
        .selected_by(&[("status.phase", "/status/phase"), ("name", "/metadata/name")]),
    core!(ConfigMap, "configmap", "configmaps")
        .namespaced()
        .short(&["cm"])
        .ruled(&rules::CONFIG_MAP)
        .printed(&printer::CONFIG_MAPS),
    core!(Secret, "secret", "secrets")
        .namespaced()
        .ruled(&rules::SECRET)
        .printed(&printer::SECRETS)
        .selected_by(&[("type", "/type")]),
    SERVICES,
    core!(ServiceAccount, "serviceaccount", "serviceaccounts")
        .namespaced()
        .short(&["sa"])
        .with(&["token"])
        .printed(&printer::SERVICE_ACCOUNTS),
    core!(Endpoints, "endpoints", "endpoints").namespaced().short(&["ep"]),
    EVENTS,
    core!(PersistentVolume, "persistentvolume", "persistentvolumes")
        .short(&["pv"])
        .with(&["status"])
        .ruled(&rules::VOLUME)
        .printed(&printer::VOLUMES),
    core!(PersistentVolumeClaim, "persistentvolumeclaim", "persistentvolumeclaims")
        .namespaced()
        .short(&["pvc"])
        .with(&["status"])
        .ruled(&rules::CLAIM)
        .printed(&printer::CLAIMS),
    grouped!(coordination::Lease, "coordination.k8s.io", "lease", "leases")
        .namespaced()
        .ruled(&rules::LEASE)
        .printed(&printer::LEASES),
    NEW_EVENTS,
    grouped!(discovery::EndpointSlice, "discovery.k8s.io", "endpointslice", "endpointslices").namespaced(),
    grouped!(node::RuntimeClass, "node.k8s.io", "runtimeclass", "runtimeclasses")
        .ruled(&rules::RUNTIME_CLASS)
        .printed(&printer::RUNTIME_CLASSES),
    grouped!(scheduling::PriorityClass, "scheduling.k8s.io", "priorityclass", "priorityclasses")
        .short(&["pc"])
        .ruled(&rules::PRIORITY_CLASS)
        .printed(&printer::PRIORITY_CLASSES),
    grouped!(storage::CSIDriver, "storage.k8s.io", "csidriver", "csidrivers")
        .ruled(&rules::CSI_DRIVER)
        .printed(&printer::CSI_DRIVERS),
    grouped!(storage::CSINode, "storage.k8s.io", "csinode", "csinodes").printed(&printer::CSI_NODES),
    grouped!(storage::StorageClass, "storage.k8s.io", "storageclass", "storageclasses")
        .short(&["sc"])
        .ruled(&rules::STORAGE_CLASS)
        .printed(&printer::STORAGE_CLASSES),
    grouped!(storage::VolumeAttachment, "storage.k8s.io", "volumeattachment", "volumeattachments")
        .with(&["status"])
        .ruled(&rules::ATTACHMENT)
        .printed(&printer::ATTACHMENTS),
    grouped!(
        certificates::CertificateSigningRequest,
        "certificates.k8s.io",
        "certificatesigningrequest",
        "certificatesigningrequests"
    )
    .short(&["csr"])
    .with(&["status", "approval"])
    .ruled(&rules::SIGNING_REQUEST)
    .printed(&printer::SIGNING_REQUESTS)
    .selected_by(&[("spec.signerName", "/spec/signerName")]),
    TRUST_BUNDLES,
    CERTIFICATE_REQUESTS,
    grouped!(authentication::TokenReview, "authentication.k8s.io", "tokenreview", "tokenreviews").transient(),
    grouped!(
        authentication::SelfSubjectReview,
        "authentication.k8s.io",
        "selfsubjectreview",
        "selfsubjectreviews"
    )
    .transient(),
    grouped!(
        authorization::SubjectAccessReview,
        "authorization.k8s.io",
        "subjectaccessreview",
        "subjectaccessreviews"
    )
    .transient(),
    grouped!(
        authorization::LocalSubjectAccessReview,
        "authorization.k8s.io",
        "localsubjectaccessreview",
        "localsubjectaccessreviews"
    )
    .namespaced()
    .transient(),
    grouped!(
        authorization::SelfSubjectAccessReview,
        "authorization.k8s.io",
        "selfsubjectaccessreview",
        "selfsubjectaccessreviews"
    )
    .transient(),
    grouped!(
        authorization::SelfSubjectRulesReview,
        "authorization.k8s.io",
        "selfsubjectrulesreview",
        "selfsubjectrulesreviews"
    )
    .transient(),
    metrics("NodeMetrics", "nodes", "nodes.metrics.k8s.io").printed(&printer::NODE_METRICS),
    metrics("PodMetrics", "pods", "pods.metrics.k8s.io").namespaced().printed(&printer::POD_METRICS),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::resource;

    #[test]
    fn rows_are_found_by_path_and_kind() {
        let mut seen = HashSet::new();
        for row in RESOURCES {
            assert!(seen.insert((row.group, row.plural)), "{row:?}");
            assert!(resource::find(row.group, row.version, row.plural).is_some());
            assert_eq!(
                resource::of_kind(&row.api_version(), row.kind).map(|found| found.plural),
                Some(row.plural)
            );
            let singular =
                if row.keeping == Keeping::Measured { String::new() } else { row.kind.to_lowercase() };
            assert_eq!(row.singular, singular, "names of metrics are those of what is measured");
        }
    }
}
