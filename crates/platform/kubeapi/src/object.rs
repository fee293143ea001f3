//! Any object of the API, and the calls that all of them have.

use std::fmt::Debug;

use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{Request, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::client::{Client, refused};
use crate::{ApiError, ApiErrorKind};

/// A type of the Kubernetes API with a name, such as `Pod`. All of `k8s_openapi` are.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

/// How an object is deleted.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Deletion {
    /// Only the object with this UID: another one that took its name stays.
    pub uid: Option<String>,
    /// `gracePeriodSeconds`; the object's own if missing.
    pub grace_period_seconds: Option<u32>,
}

/// A page of a list, its objects not decoded yet.
#[derive(serde::Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    #[serde(default)]
    pub(crate) items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageMeta {
    pub(crate) resource_version: Option<String>,
    pub(crate) r#continue: Option<String>,
}

impl Client {
    /// Reads an object. `namespace` is `None` for those that are in none.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<K, ApiError> {
        self.read_object(namespace, name, GetParams::default()).await
    }

    /// Reads an object as the server's cache has it, which may be a little old and is cheap for the server.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_cached<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<K, ApiError> {
        self.read_object(namespace, name, GetParams::any()).await
    }

    async fn read_object<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        params: GetParams,
    ) -> Result<K, ApiError> {
        let request = resource::<K>(namespace).get(name, &params);
        let mut object: K = self.call(request.map_err(|error| refused(&error))?).await?;
        object.meta_mut().managed_fields = None;
        Ok(object)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`ApiError`]; `AlreadyExists` if the name is taken.
    pub async fn create<K: Object>(&self, namespace: Option<&str>, object: &K) -> Result<K, ApiError> {
        let body = serde_json::to_vec(object).map_err(|error| refused(&error))?;
        let request = resource::<K>(namespace).create(&PostParams::default(), body);
        self.call(request.map_err(|error| refused(&error))?).await
    }

    /// Posts `body` to a subresource, such as `token` of a service account, and returns what it became.
    pub(crate) async fn create_in<K: Object, B: Serialize, T: DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| refused(&error))?;
        let request =
            resource::<K>(namespace).create_subresource(subresource, name, &PostParams::default(), body);
        self.call(request.map_err(|error| refused(&error))?).await
    }

    /// Applies a strategic merge patch to an object, or to its `subresource` (`status`), and returns the result.
    /// What the patch does not name stays, also fields that berth does not know.
    ///
    /// # Errors
    /// [`ApiError`]; `Conflict` if the patch names a UID or a resourceVersion that is not the object's.
    pub async fn patch<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch: &serde_json::Value,
    ) -> Result<K, ApiError> {
        let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
        let request = match subresource {
            None => resource::<K>(namespace).patch(name, &params, &patch),
            Some(subresource) => {
                resource::<K>(namespace).patch_subresource(subresource, name, &params, &patch)
            }
        };
        self.call(request.map_err(|error| refused(&error))?).await
    }

    /// Has an object deleted.
    ///
    /// # Errors
    /// [`ApiError`]; `NotFound` if it is gone already, `Conflict` if the name has another UID by now.
    pub async fn delete<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        deletion: &Deletion,
    ) -> Result<(), ApiError> {
        let params = DeleteParams {
            grace_period_seconds: deletion.grace_period_seconds,
            preconditions: deletion.uid.as_ref().map(|uid| kube::core::params::Preconditions {
                uid: Some(uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = resource::<K>(namespace).delete(name, &params);
        self.call_bytes(request.map_err(|error| refused(&error))?).await.map(drop)
    }

    /// One page of a list.
    pub(crate) async fn page<K: Object>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Result<Page, ApiError> {
        let request = resource::<K>(namespace).list(params);
        self.call(request.map_err(|error| refused(&error))?).await
    }
}

/// The paths of a type's objects.
pub(crate) fn resource<K: Object>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

/// Reads an object, without `managedFields`, which are often half of it and which nobody here reads.
pub(crate) fn decode<K: Object>(raw: &RawValue) -> Result<K, ApiError> {
    let mut object: K = serde_json::from_str(raw.get()).map_err(|error| {
        ApiError::new(ApiErrorKind::Malformed, format!("not a {}: {error}", K::kind(&())))
    })?;
    object.meta_mut().managed_fields = None;
    Ok(object)
}
