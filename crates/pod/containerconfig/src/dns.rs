//! DNS settings of a pod (Kubernetes: "DNS for Services and Pods"), and the node's `resolv.conf`.

use std::net::IpAddr;

use cri::v1::DnsConfig;
use types::reason::event;
use types::{Event, Pod, PodRef, pod};

use crate::NodeFacts;

/// The most name servers a pod may have.
pub const MAX_SERVERS: usize = 3;
/// The most search domains.
pub const MAX_SEARCHES: usize = 32;
/// The longest list of search domains, in characters with the spaces between them.
pub const MAX_SEARCH_CHARS: usize = 2048;
/// The longest search domain.
pub const MAX_SEARCH: usize = 253;
/// How much of the node's file is read at the most, in bytes.
pub const MAX_FILE: u64 = 10 << 20;

/// What a `resolv.conf` says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResolvConf {
    /// `nameserver`, in order.
    pub servers: Vec<String>,
    /// The last `search`.
    pub searches: Vec<String>,
    /// All `options`; of those given twice the last.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads the text of a `resolv.conf`. What it does not know it leaves out, as the resolver does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    // A dot at the end says nothing new, but for the root itself.
                    let bare = |word: &str| {
                        word.strip_suffix('.').filter(|s| !s.is_empty()).unwrap_or(word).to_owned()
                    };
                    conf.searches = words.map(bare).collect();
                }
                Some("options") => words.for_each(|word| set_option(&mut conf.options, word.to_owned())),
                _ => {}
            }
        }
        conf
    }

    /// What of it a pod would not get, one sentence each. Said once at the start, so that the operator can mend it.
    #[must_use]
    pub fn beyond_limits(&self) -> Vec<String> {
        fit(self.clone()).1
    }
}

/// An option with the same name as one before takes its place.
fn set_option(options: &mut Vec<String>, option: String) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|other| name(other) == name(&option)) {
        Some(other) => *other = option,
        None => options.push(option),
    }
}

fn add_new(list: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// What a pod's `resolv.conf` is to say, and what the user is to be told about it.
#[must_use]
pub fn pod_dns(pod: &Pod, facts: &NodeFacts) -> (DnsConfig, Vec<Event>) {
    let spec = pod::spec(pod);
    let pod_ref = PodRef::of(pod);
    let mut events = Vec::new();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let wants_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "Default" | "None" => false,
        _ => !pod::host_network(pod),
    };
    let mut conf = if policy == "None" {
        ResolvConf::default()
    } else if wants_cluster && !facts.cluster_dns.is_empty() {
        cluster(pod, facts)
    } else {
        if wants_cluster {
            let message = format!(
                "The pod has DNS policy {policy:?}, and no cluster DNS is configured on this node (clusterDNS): it gets the node's own DNS settings."
            );
            events.push(Event::warning(&pod_ref, event::MISSING_CLUSTER_DNS, message));
        }
        node(facts)
    };
    if let Some(own) = &spec.dns_config {
        add_new(&mut conf.servers, own.nameservers.iter().flatten().cloned());
        add_new(&mut conf.searches, own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            let text = match option.value.as_deref().filter(|value| !value.is_empty()) {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            };
            set_option(&mut conf.options, text);
        }
    }
    let (conf, cut) = fit(conf);
    events.extend(
        cut.into_iter().map(|sentence| Event::warning(&pod_ref, event::DNS_CONFIG_FORMING, sentence)),
    );
    (DnsConfig { servers: conf.servers, searches: conf.searches, options: conf.options }, events)
}

/// The cluster's DNS, which looks first among the services of the pod's own namespace.
fn cluster(pod: &Pod, facts: &NodeFacts) -> ResolvConf {
    let domain = &facts.cluster_domain;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    let host = facts.resolv_conf.iter().flat_map(|conf| &conf.searches).cloned();
    add_new(&mut searches, host);
    ResolvConf {
        servers: facts.cluster_dns.iter().map(ToString::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

/// The node's own settings. Where it is configured to have none, a resolver that is not there keeps the runtime from
/// putting in one of its own.
fn node(facts: &NodeFacts) -> ResolvConf {
    facts.resolv_conf.clone().unwrap_or_else(|| {
        let nobody = if facts.host_ips.first().is_some_and(IpAddr::is_ipv6) { "::1" } else { "127.0.0.1" };
        ResolvConf { servers: vec![nobody.to_owned()], searches: vec![".".to_owned()], options: Vec::new() }
    })
}

/// Cuts what goes over the limits, and says what was cut.
fn fit(mut conf: ResolvConf) -> (ResolvConf, Vec<String>) {
    let mut cut = Vec::new();
    if conf.servers.len() > MAX_SERVERS {
        conf.servers.truncate(MAX_SERVERS);
        cut.push(format!(
            "More than {MAX_SERVERS} name servers: the first {MAX_SERVERS} are used ({}).",
            conf.servers.join(" ")
        ));
    }
    let wanted = conf.searches.len();
    let mut chars = 0;
    let mut kept = Vec::new();
    for search in conf.searches.drain(..).filter(|search| search.len() <= MAX_SEARCH).take(MAX_SEARCHES) {
        chars += search.len() + usize::from(!kept.is_empty());
        if chars > MAX_SEARCH_CHARS {
            break;
        }
        kept.push(search);
    }
    if kept.len() < wanted {
        cut.push(format!(
            "{} of {wanted} search domains are left out: at most {MAX_SEARCHES} of up to {MAX_SEARCH} characters each, {MAX_SEARCH_CHARS} together, are possible. Those used are: {}.",
            wanted - kept.len(),
            kept.join(" ")
        ));
    }
    conf.searches = kept;
    (conf, cut)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::facts;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn resolv_conf() {
        let conf = ResolvConf::parse(
            "# comment\n; too\nnameserver 10.0.0.1\nnameserver\t10.0.0.2 # x\nsearch gone\n\
             search example.com. . corp\noptions ndots:1 edns0\noptions ndots:2\ndomain ignored\nnameserver\nweird\n",
        );
        assert_eq!(conf.servers, texts(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(conf.searches, texts(&["example.com", ".", "corp"]));
        assert_eq!(conf.options, texts(&["ndots:2", "edns0"]));
        assert!(conf.beyond_limits().is_empty());
    }

    type Expected<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);

    fn check(facts: &NodeFacts, spec: Value, (servers, searches, options, reasons): Expected<'_>) {
        let pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}))
            .unwrap();
        let (config, events) = pod_dns(&pod, facts);
        assert_eq!(config.servers, servers, "{spec}");
        assert_eq!(config.searches, searches, "{spec}");
        assert_eq!(config.options, options, "{spec}");
        let actual: Vec<_> = events.iter().map(|event| &*event.reason).collect();
        assert_eq!(actual, reasons, "{spec}");
    }

    #[test]
    fn policies() {
        let facts = facts();
        let cluster: Expected<'_> = (
            &["10.96.0.10"],
            &["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"],
            &["ndots:5"],
            &[],
        );
        let host: Expected<'_> = (&["192.0.2.53"], &["example.com"], &["edns0"], &[]);
        check(&facts, json!({"containers": [], "dnsPolicy": "ClusterFirst"}), cluster);
        check(&facts, json!({"containers": []}), cluster);
        check(&facts, json!({"containers": [], "dnsPolicy": "ClusterFirst", "hostNetwork": true}), host);
        check(
            &facts,
            json!({"containers": [], "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}),
            cluster,
        );
        check(&facts, json!({"containers": [], "dnsPolicy": "Default"}), host);
        check(&facts, json!({"containers": [], "dnsPolicy": "None"}), (&[], &[], &[], &[]));
        let own = json!({"nameservers": ["10.96.0.10", "9.9.9.9"], "searches": ["svc.cluster.local", "x"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]});
        check(
            &facts,
            json!({"containers": [], "dnsConfig": own}),
            (
                &["10.96.0.10", "9.9.9.9"],
                &["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com", "x"],
                &["ndots:2", "rotate"],
                &[],
            ),
        );
    }

    #[test]
    fn without_cluster_dns_or_a_file() {
        let mut facts = facts();
        facts.cluster_dns.clear();
        let expected: Expected<'_> = (&["192.0.2.53"], &["example.com"], &["edns0"], &["MissingClusterDNS"]);
        check(&facts, json!({"containers": []}), expected);
        facts.resolv_conf = None;
        check(&facts, json!({"containers": [], "dnsPolicy": "Default"}), (&["127.0.0.1"], &["."], &[], &[]));
        facts.host_ips = vec!["fd00::1".parse().unwrap()];
        check(&facts, json!({"containers": [], "dnsPolicy": "Default"}), (&["::1"], &["."], &[], &[]));
    }

    #[test]
    fn limits() {
        let conf = |servers: usize, searches: Vec<String>| ResolvConf {
            servers: (0..servers).map(|n| format!("10.0.0.{n}")).collect(),
            searches,
            options: Vec::new(),
        };
        let (kept, cut) = fit(conf(4, (0..40).map(|n| format!("s{n}")).collect()));
        assert_eq!((kept.servers.len(), kept.searches.len(), cut.len()), (3, 32, 2));
        let (kept, cut) = fit(conf(3, vec!["a".repeat(250); 20]));
        assert_eq!((kept.searches.len(), cut.len()), (8, 1));
        assert!(kept.searches.join(" ").len() <= MAX_SEARCH_CHARS);
        let (kept, cut) = fit(conf(0, vec!["b".repeat(254), "c".to_owned()]));
        assert_eq!((kept.searches, cut.len()), (texts(&["c"]), 1));
    }
}
