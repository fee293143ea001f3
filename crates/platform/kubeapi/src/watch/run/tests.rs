//! The life of a watch on a server that is played, with the clock paused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::super::Listed;
use super::*;

/// What the server does with the next list or watch.
enum Act {
    List(&'static [u32], &'static str),
    Watch(Vec<Step>),
    Refuse(ApiErrorKind),
}

/// What comes on a watch.
enum Step {
    Applied(u32, &'static str),
    Deleted(u32, &'static str),
    Bookmark(&'static str),
    Failed(ApiErrorKind),
    Broken,
    Silence(Duration),
    Hang,
}

#[derive(Default)]
struct Played {
    acts: VecDeque<Act>,
    asked: Vec<(u64, String)>,
}

#[derive(Clone)]
struct Server {
    played: Arc<Mutex<Played>>,
    start: Instant,
    back: Arc<tokio::sync::Notify>,
}

impl Server {
    fn new(acts: Vec<Act>) -> Self {
        let played = Played { acts: acts.into(), asked: Vec::new() };
        Self { played: Arc::new(Mutex::new(played)), start: Instant::now(), back: Arc::default() }
    }

    async fn act(&self, what: String) -> Act {
        let act = {
            let mut played = self.played.lock().unwrap();
            played.asked.push((self.start.elapsed().as_secs(), what));
            played.acts.pop_front()
        };
        match act {
            Some(act) => act,
            None => std::future::pending().await,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.played.lock().unwrap().asked.iter().map(|(_, what)| what.clone()).collect()
    }

    fn times(&self) -> Vec<u64> {
        self.played.lock().unwrap().asked.iter().map(|(at, _)| *at).collect()
    }
}

fn error(kind: ApiErrorKind) -> ApiError {
    ApiError::new(kind, "no")
}

impl Upstream for Server {
    type Object = u32;
    type Events = VecDeque<Step>;

    async fn list(&self, at: At, _: Duration) -> Result<Listed<u32, VecDeque<Step>>, ApiError> {
        match self.act(format!("list {at:?}")).await {
            Act::List(objects, version) => {
                let objects = objects.iter().copied().map(Arc::new).collect();
                Ok(Listed { objects, version: version.into(), events: None })
            }
            Act::Refuse(kind) => Err(error(kind)),
            Act::Watch(_) => panic!("a list was asked for"),
        }
    }

    async fn open(&self, version: &str, timeout: Duration) -> Result<VecDeque<Step>, ApiError> {
        assert!((TIMEOUT.0..=TIMEOUT.1).contains(&timeout));
        match self.act(format!("watch {version}")).await {
            Act::Watch(steps) => Ok(steps.into()),
            Act::Refuse(kind) => Err(error(kind)),
            Act::List(..) => panic!("a watch was asked for"),
        }
    }

    async fn recovered(&self) {
        self.back.notified().await;
    }
}

impl EventStream<u32> for VecDeque<Step> {
    async fn next(&mut self) -> Option<Result<Event<u32>, ApiError>> {
        loop {
            return Some(match self.pop_front()? {
                Step::Applied(object, version) => Ok(Event::Applied(object.into(), version.into())),
                Step::Deleted(object, version) => Ok(Event::Deleted(object.into(), version.into())),
                Step::Bookmark(version) => Ok(Event::Bookmark(version.into())),
                Step::Failed(kind) => Ok(Event::Failed(error(kind))),
                Step::Broken => Err(error(ApiErrorKind::Unreachable)),
                Step::Silence(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Step::Hang => std::future::pending().await,
            });
        }
    }
}

struct Following {
    server: Server,
    changes: mpsc::Receiver<Change<u32>>,
    health: watch::Receiver<Health>,
}

fn follow_server(acts: Vec<Act>) -> Following {
    let server = Server::new(acts);
    let (sender, changes) = mpsc::channel(1);
    let (told, health) = watch::channel(Health::starting());
    tokio::spawn(run(server.clone(), sender, told));
    Following { server, changes, health }
}

impl Following {
    /// The next changes, in short: `=1,2` for a list, `+1` and `-1`.
    async fn next(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(match self.changes.recv().await.unwrap() {
                Change::Listed(objects) => {
                    let objects: Vec<_> = objects.iter().map(ToString::to_string).collect();
                    format!("={}", objects.join(","))
                }
                Change::Applied(object) => format!("+{object}"),
                Change::Deleted(object) => format!("-{object}"),
            });
        }
        all
    }

    /// Until the server has been asked for so many things.
    async fn asked(&self, count: usize) -> Vec<String> {
        while self.server.asked().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.server.asked()
    }
}

fn well() -> Step {
    Step::Silence(WELL)
}

#[tokio::test(start_paused = true)]
async fn goes_on_after_the_last_event_when_a_watch_breaks() {
    let mut following = follow_server(vec![
        Act::List(&[1, 2], "10"),
        Act::Watch(vec![Step::Applied(3, "11"), Step::Deleted(1, "12"), well(), Step::Broken]),
        Act::Watch(vec![Step::Bookmark("20"), well()]),
        Act::Watch(vec![Step::Applied(2, "21"), Step::Hang]),
    ]);
    assert_eq!(following.next(4).await, ["=1,2", "+3", "-1", "+2"]);
    assert_eq!(following.server.asked(), ["list Any", "watch 10", "watch 12", "watch 20"]);
    assert!(following.health.borrow().is_connected());
}

#[tokio::test(start_paused = true)]
async fn lists_anew_when_the_version_is_too_old() {
    for gone in [Act::Refuse(ApiErrorKind::Gone), Act::Watch(vec![Step::Failed(ApiErrorKind::Gone)])] {
        let mut following = follow_server(vec![
            Act::List(&[1], "10"),
            gone,
            Act::List(&[2], "50"),
            Act::Watch(vec![Step::Applied(3, "51"), Step::Hang]),
        ]);
        assert_eq!(following.next(3).await, ["=1", "=2", "+3"]);
        assert_eq!(following.server.asked(), ["list Any", "watch 10", "list Newest", "watch 50"]);
        assert_eq!(following.server.times().last(), Some(&0), "at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgot_while_it_was_away_is_listed_at_once() {
    let mut acts = vec![Act::List(&[1], "10")];
    acts.extend((0..6).map(|_| Act::Refuse(ApiErrorKind::Unreachable)));
    acts.extend([Act::Refuse(ApiErrorKind::Gone), Act::List(&[2], "50")]);
    let mut following = follow_server(acts);
    assert_eq!(following.next(2).await, ["=1", "=2"]);
    let times = following.server.times();
    assert_eq!(times[7], times[8]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_always_too_old_is_no_busy_loop() {
    let acts = (0..5).flat_map(|_| [Act::List(&[1], "10"), Act::Refuse(ApiErrorKind::Gone)]).collect();
    let mut following = follow_server(acts);
    assert_eq!(following.next(5).await.len(), 5);
    assert!(following.server.start.elapsed() >= Duration::from_millis(400 * (1 + 2 + 4)));
}

#[tokio::test(start_paused = true)]
async fn waits_longer_and_longer_while_it_fails_and_says_so() {
    let mut acts: Vec<_> = (0..8).map(|_| Act::Refuse(ApiErrorKind::Unreachable)).collect();
    acts.extend([Act::List(&[], "1"), Act::Watch(vec![Step::Hang])]);
    let mut following = follow_server(acts);
    following.asked(8).await;
    let Health::Failing { attempts, error, .. } = following.health.borrow().clone() else { panic!() };
    assert_eq!((attempts, error.kind), (8, ApiErrorKind::Unreachable));
    assert_eq!(following.next(1).await, ["="]);
    following.health.wait_for(Health::is_connected).await.unwrap();
    let times = following.server.times();
    assert!(times[7] - times[6] >= 12 && times[8] - times[7] <= 31, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_is_tried_at_once() {
    let mut acts: Vec<_> = (0..8).map(|_| Act::Refuse(ApiErrorKind::Unreachable)).collect();
    acts.push(Act::List(&[1], "1"));
    let mut following = follow_server(acts);
    following.asked(8).await;
    // Now it waits for 15 s or more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let back = Instant::now();
    following.server.back.notify_waiters();
    assert_eq!(following.next(1).await, ["=1"]);
    assert!(back.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_server_asks() {
    let retry_after = Some(Duration::from_secs(77));
    let mut following =
        follow_server(vec![Act::Refuse(ApiErrorKind::TooManyRequests { retry_after }), Act::List(&[1], "1")]);
    following.next(1).await;
    assert_eq!(following.server.times(), [0, 77, 77]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_is_given_up() {
    let mut following = follow_server(vec![
        Act::List(&[1], "10"),
        Act::Watch(vec![Step::Hang]),
        Act::Watch(vec![Step::Applied(2, "11"), Step::Hang]),
    ]);
    assert_eq!(following.next(2).await, ["=1", "+2"]);
    let at = following.server.times()[2];
    assert!((315..=616).contains(&at), "{at}");
    assert!(following.health.borrow().is_connected());
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_a_failure() {
    let mut acts = vec![Act::List(&[1], "10")];
    acts.extend((0..4).map(|_| Act::Watch(vec![])));
    let following = follow_server(acts);
    following.asked(6).await;
    assert!(following.server.times()[5] >= 5);
    let mut health = following.health.clone();
    health.wait_for(|health| matches!(health, Health::Failing { .. })).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_go_on_is_listed_anew() {
    let mut following = follow_server(vec![
        Act::List(&[1], "10"),
        Act::Watch(vec![well(), Step::Failed(ApiErrorKind::Server { retry_after: None })]),
        Act::List(&[1, 2], "20"),
    ]);
    assert_eq!(following.next(2).await, ["=1", "=1,2"]);
}

#[tokio::test(start_paused = true)]
async fn ends_when_nobody_reads() {
    let Following { server, changes, health } =
        follow_server(vec![Act::List(&[1], "10"), Act::Watch(vec![Step::Hang])]);
    drop(changes);
    let mut health = health;
    while health.changed().await.is_ok() {}
    assert!(server.asked().len() <= 2);
}
