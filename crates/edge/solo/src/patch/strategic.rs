//! Strategic merge patch (Kubernetes: "Update API Objects in Place Using kubectl patch", and its design document).

use serde_json::{Map, Value};

use super::keys::{self, Strategy};
use crate::object;

/// What is wrong with a patch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum StrategicError {
    #[error("unknown directive {0:?} in the patch")]
    Directive(String),
    #[error("the patch has a list for {0:?} whose items need the field {1:?}")]
    Key(String, &'static str),
    #[error("{0:?} in the patch must be a list")]
    NoList(String),
    #[error("the patch is nested too deeply")]
    TooDeep,
}

type Outcome = Result<(), StrategicError>;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
/// No object of the API is so deep.
const MAX_DEPTH: usize = 100;

/// Applies `patch` to an object of `kind`.
pub(super) fn apply(kind: &str, object: &mut Value, patch: Value) -> Outcome {
    let Value::Object(patch) = patch else { return Ok(()) };
    Merge { kind, path: Vec::new() }.map(object, patch)
}

struct Merge<'a> {
    kind: &'a str,
    /// Keys of maps from the root; lists add nothing.
    path: Vec<String>,
}

impl Merge<'_> {
    fn map(&mut self, target: &mut Value, mut patch: Map<String, Value>) -> Outcome {
        if self.path.len() > MAX_DEPTH {
            return Err(StrategicError::TooDeep);
        }
        match patch.shift_remove(DIRECTIVE).as_ref().map(|directive| directive.as_str().unwrap_or_default()) {
            None | Some("merge") => {}
            Some("delete") => {
                *target = Value::Object(Map::new());
                return Ok(());
            }
            Some("replace") => {
                *target = Value::Object(patch);
                return Ok(());
            }
            Some(other) => return Err(StrategicError::Directive(other.to_owned())),
        }
        let target = object::as_map(target);
        let retained = patch.shift_remove(RETAIN);
        let mut orders = Vec::new();
        let mut fields = Map::new();
        for (key, value) in patch {
            if let Some(field) = key.strip_prefix(ORDER) {
                orders.push((field.to_owned(), as_list(&key, value)?));
            } else if let Some(field) = key.strip_prefix(DELETE_VALUES) {
                let gone = as_list(&key, value)?;
                if let Some(Value::Array(values)) = target.get_mut(field) {
                    values.retain(|value| !gone.contains(value));
                }
            } else if key.starts_with('$') {
                return Err(StrategicError::Directive(key));
            } else {
                fields.insert(key, value);
            }
        }
        // Where list items were before the patch decides where those stay that the order does not name.
        let before: Vec<Value> =
            orders.iter().map(|(field, _)| target.get(field).cloned().unwrap_or_default()).collect();
        for (key, value) in fields {
            self.path.push(key.clone());
            let outcome = self.field(target, &key, value);
            self.path.pop();
            outcome?;
        }
        for ((field, order), before) in orders.into_iter().zip(before) {
            self.path.push(field.clone());
            let strategy = keys::of(self.kind, &self.path);
            self.path.pop();
            if let Some(Value::Array(items)) = target.get_mut(&field) {
                reorder(items, &order, before.as_array().map(Vec::as_slice).unwrap_or_default(), strategy);
            }
        }
        if let Some(Value::Array(keep)) = retained {
            target.retain(|key, _| keep.iter().any(|kept| kept == key.as_str()));
        }
        Ok(())
    }

    fn field(&mut self, target: &mut Map<String, Value>, key: &str, value: Value) -> Outcome {
        match value {
            Value::Null => {
                target.shift_remove(key);
                Ok(())
            }
            // A map that is to be deleted goes as a whole.
            Value::Object(patch) if patch.get(DIRECTIVE).is_some_and(|directive| directive == "delete") => {
                target.shift_remove(key);
                Ok(())
            }
            Value::Object(patch) => self.map(target.entry(key).or_insert(Value::Null), patch),
            Value::Array(items) => self.list(target, key, items),
            plain => {
                target.insert(key.to_owned(), plain);
                Ok(())
            }
        }
    }

    fn list(&mut self, target: &mut Map<String, Value>, key: &str, mut patch: Vec<Value>) -> Outcome {
        let strategy = keys::of(self.kind, &self.path);
        let is_replace = |item: &Value| item.get(DIRECTIVE).is_some_and(|directive| directive == "replace");
        let replaces = patch.iter().any(is_replace) && strategy != Strategy::Set;
        patch.retain(|item| !(is_replace(item) && item.as_object().is_some_and(|item| item.len() == 1)));
        let current = match target.get_mut(key) {
            Some(Value::Array(current)) if !replaces => current,
            _ => match target.entry(key).insert_empty() {
                Some(empty) => empty,
                None => return Ok(()),
            },
        };
        match strategy {
            _ if replaces => *current = patch.into_iter().map(without_directive).collect(),
            Strategy::Replace => *current = patch,
            Strategy::Set => {
                for value in patch {
                    if !current.contains(&value) {
                        current.push(value);
                    }
                }
            }
            Strategy::By(by) => {
                for item in patch {
                    self.item(current, key, by, item)?;
                }
            }
        }
        Ok(())
    }

    fn item(&mut self, items: &mut Vec<Value>, list: &str, by: &'static str, patch: Value) -> Outcome {
        let no_key = || StrategicError::Key(list.to_owned(), by);
        let Value::Object(patch) = patch else { return Err(no_key()) };
        let id = patch.get(by).cloned().ok_or_else(no_key)?;
        if patch.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
            items.retain(|item| item.get(by) != Some(&id));
            return Ok(());
        }
        if let Some(item) = items.iter_mut().find(|item| item.get(by) == Some(&id)) {
            return self.map(item, patch);
        }
        let mut item = Value::Null;
        self.map(&mut item, patch)?;
        items.push(item);
        Ok(())
    }
}

/// An entry made an empty list.
trait InsertEmpty<'a> {
    fn insert_empty(self) -> Option<&'a mut Vec<Value>>;
}

impl<'a> InsertEmpty<'a> for serde_json::map::Entry<'a> {
    fn insert_empty(self) -> Option<&'a mut Vec<Value>> {
        let value = self.or_insert(Value::Null);
        *value = Value::Array(Vec::new());
        value.as_array_mut()
    }
}

fn as_list(key: &str, value: Value) -> Result<Vec<Value>, StrategicError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(StrategicError::NoList(key.to_owned())),
    }
}

fn without_directive(mut item: Value) -> Value {
    if let Some(map) = item.as_object_mut() {
        map.shift_remove(DIRECTIVE);
    }
    item
}

/// Brings the items that `order` names into its order. The others stay where they were relative to their neighbours
/// in `before`; ones that were not there come first among those that follow.
fn reorder(items: &mut Vec<Value>, order: &[Value], before: &[Value], strategy: Strategy) {
    let id = |item: &Value| match strategy {
        Strategy::By(by) => item.get(by).cloned().unwrap_or_default(),
        _ => item.clone(),
    };
    let order: Vec<Value> = order.iter().map(&id).collect();
    let before: Vec<Value> = before.iter().map(&id).collect();
    let place = |item: &Value| before.iter().position(|one| *one == id(item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| order.contains(&id(item)));
    named.sort_by_key(|item| order.iter().position(|one| *one == id(item)));
    others.sort_by_key(&place);
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.peek()
            && place(&item).is_some_and(|at| place(other) < Some(at))
            && let Some(other) = others.next()
        {
            items.push(other);
        }
        items.push(item);
    }
    items.extend(others);
}

#[cfg(test)]
mod tests;
