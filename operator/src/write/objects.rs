//! A generated object, created, replaced or deleted.
//!
//! A replace and a delete are of the resourceVersion that was seen, and so of that very object: what has changed since is
//! looked at again first.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use super::{Failure, in_term, in_time};
use crate::election::Leadership;
use crate::generated::{self, FOLDER_LABEL, MANAGED_BY, TICKET_KEYS};
use crate::resolve::{Content, File, Write, WriteAction};
use crate::store::{Generated, GeneratedKey, MaterialKind};

/// Overwrites what a Secret carries.
pub fn wipe(secret: &mut Secret) {
    for ByteString(bytes) in secret.data.iter_mut().flat_map(|data| data.values_mut()) {
        bytes.zeroize();
    }
}

/// Writes, while the lease holds. Gives what is there then: `None` where there is nothing.
///
/// # Errors
///
/// The API did not do it, or did not say so in time.
pub async fn write(client: Client, leadership: &Leadership, write: Write) -> Result<Option<Generated>, Failure> {
    let namespace = generated::namespace(&write.key.gateway);
    match write.key.kind {
        MaterialKind::ConfigMap => Kept::<ConfigMap>::new(client, &namespace).write(leadership, write).await,
        MaterialKind::Secret => Kept::<Secret>::new(client, &namespace).write(leadership, write).await,
    }
}

/// Looks what is there.
///
/// # Errors
///
/// The API did not say so, or not in time.
pub async fn look(client: Client, key: &GeneratedKey) -> Result<Option<Generated>, Failure> {
    let namespace = generated::namespace(&key.gateway);
    match key.kind {
        MaterialKind::ConfigMap => Kept::<ConfigMap>::new(client, &namespace).look(&key.name).await,
        MaterialKind::Secret => Kept::<Secret>::new(client, &namespace).look(&key.name).await,
    }
}

/// The labels of what is generated into a folder.
pub fn labels(folder: &str) -> BTreeMap<String, String> {
    [(FOLDER_LABEL, folder), MANAGED_BY].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Deletes this version of an object, while the lease holds. One that is gone already is as good.
///
/// # Errors
///
/// The API did not do it, or did not say so in time; there is another version of it.
pub async fn delete<K>(leadership: &Leadership, api: &Api<K>, name: &str, version: &str) -> Result<(), Failure>
where
    K: Clone + Debug + DeserializeOwned,
{
    let preconditions = Preconditions { uid: None, resource_version: Some(version.to_owned()) };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match in_term(leadership, api.delete(name, &parameters)).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_not_found() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Files by their key; wiped when they are dropped.
type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// ConfigMap or Secret.
trait Carrier: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize {
    fn new(metadata: ObjectMeta, files: Files) -> Self;
    fn seen(&self) -> Option<Generated>;
    fn into_files(self) -> Files;
    /// Whether no replace can make it that other object.
    fn is_fixed_against(&self, other: &Self) -> bool;
    fn wipe(&mut self);
}

impl Carrier for ConfigMap {
    fn new(metadata: ObjectMeta, files: Files) -> Self {
        let (mut data, mut binary_data) = (BTreeMap::new(), BTreeMap::new());
        for (key, mut bytes) in files {
            match String::from_utf8(std::mem::take(&mut *bytes)) {
                Ok(text) => {
                    data.insert(key, text);
                }
                Err(error) => {
                    binary_data.insert(key, ByteString(error.into_bytes()));
                }
            }
        }
        let some = |is_empty: bool| (!is_empty).then_some(());
        Self {
            metadata,
            data: some(data.is_empty()).map(|()| data),
            binary_data: some(binary_data.is_empty()).map(|()| binary_data),
            immutable: None,
        }
    }

    fn seen(&self) -> Option<Generated> {
        Generated::of_config_map(self)
    }

    fn into_files(self) -> Files {
        let texts = self.data.into_iter().flatten().map(|(key, text)| (key, Zeroizing::new(text.into_bytes())));
        let others = self.binary_data.into_iter().flatten().map(|(key, bytes)| (key, Zeroizing::new(bytes.0)));
        texts.chain(others).collect()
    }

    fn is_fixed_against(&self, _: &Self) -> bool {
        self.immutable == Some(true)
    }

    fn wipe(&mut self) {}
}

impl Carrier for Secret {
    fn new(metadata: ObjectMeta, files: Files) -> Self {
        let data = files.into_iter().map(|(key, mut bytes)| (key, ByteString(std::mem::take(&mut *bytes))));
        Self {
            metadata,
            data: Some(data.collect()),
            type_: Some("Opaque".to_owned()),
            immutable: None,
            string_data: None,
        }
    }

    fn seen(&self) -> Option<Generated> {
        Generated::of_secret(self)
    }

    fn into_files(self) -> Files {
        self.data.into_iter().flatten().map(|(key, bytes)| (key, Zeroizing::new(bytes.0))).collect()
    }

    fn is_fixed_against(&self, other: &Self) -> bool {
        self.immutable == Some(true) || self.type_ != other.type_
    }

    fn wipe(&mut self) {
        wipe(self);
    }
}

/// Where the objects of one kind are.
struct Kept<K>(Api<K>);

impl<K: Carrier> Kept<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
{
    fn new(client: Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }

    async fn look(&self, name: &str) -> Result<Option<Generated>, Failure> {
        Ok(in_time(self.0.get_opt(name)).await?.and_then(seen))
    }

    async fn write(&self, leadership: &Leadership, write: Write) -> Result<Option<Generated>, Failure> {
        let Write { key, action } = write;
        match action {
            WriteAction::Create(content) => {
                let mut object = self.compose(&key, content, None).await?;
                let created = in_term(leadership, self.0.create(&PostParams::default(), &object)).await;
                object.wipe();
                Ok(seen(created?))
            }
            WriteAction::Replace(version, content) => {
                let version = version.to_string();
                let mut object = self.compose(&key, content, Some(&version)).await?;
                let replaced = self.replace(leadership, &key.name, &mut object, &version).await;
                object.wipe();
                Ok(seen(replaced?))
            }
            WriteAction::Delete(version) => {
                delete(leadership, &self.0, &key.name, &version.to_string()).await?;
                Ok(None)
            }
        }
    }

    async fn replace(&self, leadership: &Leadership, name: &str, object: &mut K, version: &str) -> Result<K, Failure> {
        object.meta_mut().resource_version = Some(version.to_owned());
        match in_term(leadership, self.0.replace(name, &PostParams::default(), object)).await {
            Err(failure) if failure.is_invalid() => {
                self.ask_for_another(name, object, version, failure).await?;
                delete(leadership, &self.0, name, version).await?;
                in_term(leadership, self.0.create(&PostParams::default(), object)).await
            }
            answer => answer,
        }
    }

    /// Whether a new object is to take the place of one that can't be replaced: that one is immutable or of another type, and
    /// a new one would be accepted. Else the replace has failed as any other, and what is there stays.
    async fn ask_for_another(
        &self,
        name: &str,
        object: &mut K,
        version: &str,
        failure: Failure,
    ) -> Result<(), Failure> {
        let mut found = in_time(self.0.get_opt(name)).await?.ok_or(Failure::Conflict)?;
        let is_fixed = found.is_fixed_against(object);
        found.wipe();
        if found.meta().resource_version.as_deref() != Some(version) {
            return Err(Failure::Conflict);
        }
        if !is_fixed {
            return Err(failure);
        }
        object.meta_mut().resource_version = None;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match in_time(self.0.create(&dry_run, object)).await {
            // That the name is taken is all that is against it.
            Err(Failure::Conflict) => Ok(()),
            answer => answer.map(|mut created| created.wipe()),
        }
    }

    /// The object with this content. What is to stay as it is comes out of the version that is replaced.
    async fn compose(&self, key: &GeneratedKey, content: Content, version: Option<&str>) -> Result<K, Failure> {
        let stays = content.files.values().any(|file| matches!(file, File::AsItIs));
        let mut present = Files::new();
        if stays && let Some(version) = version {
            let found = in_time(self.0.get_opt(&key.name)).await?.ok_or(Failure::Conflict)?;
            if found.meta().resource_version.as_deref() != Some(version) {
                return Err(Failure::Conflict);
            }
            present = found.into_files();
        }
        let mut files = Files::new();
        for (name, file) in content.files {
            let bytes = match file {
                File::Bytes(bytes) => bytes,
                File::AsItIs => present.remove(&*name).ok_or(Failure::Conflict)?,
            };
            files.insert(name.into(), bytes);
        }
        let folder = key.source().map_or(TICKET_KEYS, |source| source.folder.as_str());
        let metadata =
            ObjectMeta { name: Some(key.name.to_string()), labels: Some(labels(folder)), ..ObjectMeta::default() };
        Ok(K::new(metadata, files))
    }
}

fn seen<K: Carrier>(mut object: K) -> Option<Generated> {
    let seen = object.seen();
    object.wipe();
    seen
}
