//! An API server that reviews users, and is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt as _, ready};
use server::auth::{Access, ReviewError, Reviews, User};

#[derive(Clone, Default)]
pub(crate) struct FakeReviews(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// Whom tokens are for.
    pub(crate) tokens: BTreeMap<String, User>,
    /// Who may do what: user, verb, subresource.
    pub(crate) allowed: BTreeSet<(String, &'static str, &'static str)>,
    pub(crate) away: bool,
    /// Questions, as they came.
    pub(crate) asked: Vec<String>,
}

impl FakeReviews {
    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn token(&self, token: &str, user: &str) {
        let user = User { name: user.to_owned(), ..User::default() };
        self.state().tokens.insert(token.to_owned(), user);
    }

    pub(crate) fn allow(&self, user: &str, verb: &'static str, subresource: &'static str) {
        self.state().allowed.insert((user.to_owned(), verb, subresource));
    }
}

fn away() -> ReviewError {
    ReviewError { code: None, message: "nobody is there".to_owned() }
}

impl Reviews for FakeReviews {
    fn token(&self, token: &str) -> BoxFuture<'static, Result<Option<User>, ReviewError>> {
        let mut state = self.state();
        state.asked.push(format!("token {token}"));
        let answer = if state.away { Err(away()) } else { Ok(state.tokens.get(token).cloned()) };
        ready(answer).boxed()
    }

    fn access(&self, access: &Access) -> BoxFuture<'static, Result<bool, ReviewError>> {
        let mut state = self.state();
        let Access { user, verb, subresource, node } = access;
        state.asked.push(format!("{} {verb} {subresource} of {node}", user.name));
        let key = (user.name.clone(), *verb, *subresource);
        let answer = if state.away { Err(away()) } else { Ok(state.allowed.contains(&key)) };
        ready(answer).boxed()
    }
}
