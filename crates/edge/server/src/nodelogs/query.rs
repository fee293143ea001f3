//! What a query for logs of the node asks for.

use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::Refusal;

/// The most lines from the end.
const MOST_LINES: i64 = 100_000;
/// The longest name of a service, in bytes.
const LONGEST_NAME: usize = 256;
/// The most services at once.
const MOST_SERVICES: usize = 4;

/// A query; what it asks for is not known to make sense yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct NodeLogQuery {
    pub(super) services: Vec<String>,
    files: Vec<String>,
    options: Options,
}

/// What of the services' logs is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Options {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    tail: Option<i64>,
    pattern: String,
    boot: Option<i64>,
}

/// What a query is about.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Subject<'a> {
    /// One file, by its path beneath the log directory.
    File(&'a str),
    /// The services that the query names.
    Services,
}

impl NodeLogQuery {
    /// The query in `pairs`; `None` if there is none.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Option<Self>, Refusal> {
        let text = |name: &str| {
            let value = pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            value.filter(|value| !value.is_empty())
        };
        let mut query = Self::default();
        let mut asked = pairs.iter().filter(|(name, _)| name == "query").map(|(_, value)| value).peekable();
        let any = asked.peek().is_some();
        for value in asked {
            if value.contains(['/', '\\']) {
                query.files.push(value.clone());
            } else if !value.trim().is_empty() {
                query.services.push(value.clone());
            }
        }
        if any && query.files.is_empty() && query.services.is_empty() {
            return Err(Refusal::bad_request("query cannot be empty"));
        }
        let time = |name: &str| -> Result<Option<Timestamp>, Refusal> {
            let bad = |value| Refusal::bad_request(format!("{name}: {value:?} is no time in RFC 3339"));
            text(name).map(|value| value.parse().map_err(|_| bad(value))).transpose()
        };
        let number = |name: &str| -> Result<Option<i64>, Refusal> {
            let bad = |value| Refusal::bad_request(format!("{name}: {value:?} is no number"));
            text(name).map(|value| value.parse().map_err(|_| bad(value))).transpose()
        };
        query.options = Options {
            since: time("sinceTime")?,
            until: time("untilTime")?,
            tail: number("tailLines")?,
            boot: number("boot")?,
            pattern: text("pattern").unwrap_or_default().to_owned(),
        };
        Ok(Some(query).filter(|query| *query != Self::default()))
    }

    /// What it is about, if it makes sense.
    pub(super) fn subject(&self) -> Result<Subject<'_>, Refusal> {
        let refuse = |text: String| Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, text));
        let Options { since, until, tail, pattern, boot } = &self.options;
        if let Some(bad) = self.services.iter().find(|name| !is_safe(name)) {
            return refuse(format!("query: {bad:?} cannot be the name of a service"));
        }
        if self.services.len() > MOST_SERVICES {
            return refuse(format!("query: at most {MOST_SERVICES} services can be asked for at once"));
        }
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return refuse("untilTime must be after sinceTime".to_owned());
        }
        if boot.is_some_and(|boot| boot > 0) {
            return refuse("boot must be less than 1".to_owned());
        }
        if tail.is_some_and(|lines| !(0..=MOST_LINES).contains(&lines)) {
            return refuse(format!("tailLines must be between 0 and {MOST_LINES}"));
        }
        if Regex::new(pattern).is_err() {
            return refuse(format!("pattern: {pattern:?} is no regular expression"));
        }
        match (self.services.as_slice(), self.files.as_slice()) {
            ([], []) => refuse("query cannot be empty with options".to_owned()),
            ([], [_]) if self.has_options() => refuse("a file cannot be asked for with options".to_owned()),
            ([], [file]) => Ok(Subject::File(file)),
            ([], _) => refuse("only one file can be asked for".to_owned()),
            (_, []) => Ok(Subject::Services),
            _ => refuse("files and services cannot be asked for at once".to_owned()),
        }
    }

    /// Whether a part of the logs is wanted, which files do not have.
    pub(super) fn has_options(&self) -> bool {
        self.options != Options::default()
    }

    /// The arguments of journalctl(1) for `services`.
    pub(super) fn arguments(&self, services: &[String]) -> Vec<String> {
        let Options { since, until, tail, pattern, boot } = &self.options;
        let time = |at: &Timestamp| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let mut arguments =
            vec!["--utc".to_owned(), "--no-pager".to_owned(), "--output=short-precise".to_owned()];
        arguments.extend(since.iter().map(|at| format!("--since={}", time(at))));
        arguments.extend(until.iter().map(|at| format!("--until={}", time(at))));
        if let Some(lines) = tail {
            arguments.extend(["--pager-end".to_owned(), format!("--lines={lines}")]);
        }
        arguments.extend(services.iter().map(|service| format!("--unit={service}")));
        if !pattern.is_empty() {
            arguments.push(format!("--grep={pattern}"));
            arguments.push("--case-sensitive=false".to_owned());
        }
        arguments.extend(boot.iter().map(|boot| format!("--boot={boot}")));
        arguments
    }
}

/// Whether nothing can be done with the name but look for a service.
fn is_safe(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
    name.len() <= LONGEST_NAME && name.bytes().all(good) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<Option<NodeLogQuery>, u16> {
        let pairs: Vec<_> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        NodeLogQuery::parse(&pairs).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn what_makes_no_query_and_what_no_sense() {
        assert_eq!(parsed(""), Ok(None));
        assert_eq!(parsed("other=x"), Ok(None));
        for bad in ["query=", "query= ", "query=a&sinceTime=now", "query=a&tailLines=x", "query=a&boot=x"] {
            assert_eq!(parsed(bad), Err(400), "{bad}");
        }
        for (query, ok) in [
            ("query=kubelet&query=containerd", true),
            ("query=/syslog", true),
            ("query=..", false),
            ("query=kube let", false),
            ("query=a;b", false),
            ("query=/a&query=b", false),
            ("query=/a&query=/b", false),
            ("query=/a&tailLines=3", false),
            ("tailLines=3", false),
            ("query=a&query=b&query=c&query=d&query=e", false),
            ("query=a&boot=1", false),
            ("query=a&boot=-1", true),
            ("query=a&tailLines=100001", false),
            ("query=a&pattern=(", false),
            ("query=a&sinceTime=2024-01-02T00:00:00Z&untilTime=2024-01-01T00:00:00Z", false),
        ] {
            let query_ = parsed(query).unwrap().unwrap();
            assert_eq!(query_.subject().is_ok(), ok, "{query}");
        }
        assert_eq!(parsed("query=/x").unwrap().unwrap().subject(), Ok(Subject::File("/x")));
    }

    #[test]
    fn arguments_of_journalctl() {
        let query = "query=a&sinceTime=2024-01-02T03:04:05+01:00&tailLines=7&pattern=x y&boot=-2";
        let query = parsed(query).unwrap().unwrap();
        assert_eq!(
            query.arguments(&query.services),
            [
                "--utc",
                "--no-pager",
                "--output=short-precise",
                "--since=2024-01-02 02:04:05",
                "--pager-end",
                "--lines=7",
                "--unit=a",
                "--grep=x y",
                "--case-sensitive=false",
                "--boot=-2"
            ]
        );
    }
}
