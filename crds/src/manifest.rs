//! A manifest, as `kubectl apply` takes it and `kubectl get -o yaml` prints it, read and judged by itself.

use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;

use crate::problem::{Kind, ObjectRef, Problem};
use crate::stream_route::{StreamRoute, StreamRouteSpec};
use crate::tls_sni::{TlsSni, TlsSniSpec};
use crate::yaml::Document;

#[cfg(test)]
mod tests;

/// A resource of streamgate: its manifest is `apiVersion`, `kind`, `metadata` and `spec`.
pub trait Manifest: kube::Resource<DynamicType = ()> {
    /// Which of the resources.
    const KIND: Kind;

    /// What its `spec` is.
    type Spec: DeserializeOwned;

    /// The object out of its parts.
    fn from_parts(metadata: ObjectMeta, spec: Self::Spec) -> Self;

    /// Which gateway serves it.
    fn gateway(&self) -> &str;

    /// Everything that is wrong with it by itself, each with its object and the path of its field; if it is much, the first
    /// of it.
    fn validate(&self) -> Vec<Problem>;

    /// Which object it is. What it lacks of namespace or name is empty.
    fn reference(&self) -> ObjectRef {
        let ObjectMeta { namespace, name, .. } = self.meta();
        ObjectRef {
            kind: Self::KIND,
            namespace: namespace.clone().unwrap_or_default(),
            name: name.clone().unwrap_or_default(),
        }
    }
}

impl Manifest for StreamRoute {
    const KIND: Kind = Kind::StreamRoute;

    type Spec = StreamRouteSpec;

    fn from_parts(metadata: ObjectMeta, spec: StreamRouteSpec) -> Self {
        Self { metadata, spec, status: None }
    }

    fn gateway(&self) -> &str {
        &self.spec.gateway
    }

    fn validate(&self) -> Vec<Problem> {
        self.validate()
    }
}

impl Manifest for TlsSni {
    const KIND: Kind = Kind::TlsSni;

    type Spec = TlsSniSpec;

    fn from_parts(metadata: ObjectMeta, spec: TlsSniSpec) -> Self {
        Self { metadata, spec, status: None }
    }

    fn gateway(&self) -> &str {
        &self.spec.gateway
    }

    fn validate(&self) -> Vec<Problem> {
        self.validate()
    }
}

/// Reads the manifest of the object `namespace`/`name` from the text of `file`, which is named in problems and not opened.
///
/// The text is one YAML document (or JSON). Its `metadata.namespace` and `metadata.name` may be left out and are then
/// filled in; otherwise they must agree. What the API server adds (`status`, `metadata.managedFields` and so on) may be
/// there.
///
/// # Errors
///
/// What is wrong, each with line and column: syntax; else types and fields that don't exist; and where there is none of
/// that, what [`Manifest::validate`] finds. If it is much, the first of it.
pub fn read<T: Manifest>(file: &str, namespace: &str, name: &str, yaml: &str) -> Result<T, Vec<Problem>> {
    let object = ObjectRef { kind: T::KIND, namespace: namespace.to_owned(), name: name.to_owned() };
    let name_the_place = |problem: Problem| problem.in_file(file).of(object.clone());

    let document = Document::parse(yaml).map_err(|problem| vec![name_the_place(problem)])?;
    read_document(&document, &object)
        .map_err(|problems| problems.into_iter().map(|problem| name_the_place(document.place(problem))).collect())
}

fn read_document<T: Manifest>(document: &Document<'_>, object: &ObjectRef) -> Result<T, Vec<Problem>> {
    let mut problems = outline_problems::<T>(document);
    if problems.iter().any(|problem| matches!(problem.field.as_str(), "apiVersion" | "kind")) {
        return Err(problems);
    }
    let metadata = document.read_part("metadata").map(|metadata| fill(metadata, object, &mut problems));
    let spec = document.read_part("spec");
    match (metadata, spec) {
        (Ok(metadata), Ok(spec)) if problems.is_empty() => {
            let manifest = T::from_parts(metadata, spec);
            let problems = manifest.validate();
            if problems.is_empty() { Ok(manifest) } else { Err(problems) }
        }
        (metadata, spec) => {
            problems.extend(metadata.err().into_iter().chain(spec.err()).flatten());
            Err(problems)
        }
    }
}

/// What is wrong with the fields of the manifest itself, what is within `metadata` and `spec` aside.
fn outline_problems<T: Manifest>(document: &Document<'_>) -> Vec<Problem> {
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

    let unknown = document.fields().filter(|(name, _)| !FIELDS.contains(name)).map(|(name, location)| {
        let wanted = "one of `apiVersion`, `kind`, `metadata`, `spec`";
        Problem::new(name, "a field that does not exist", wanted).at(Some(location))
    });
    let (api_version, kind) = (T::api_version(&()), T::kind(&()));
    let words =
        [("apiVersion", api_version.as_ref()), ("kind", kind.as_ref())].into_iter().filter_map(|(field, right)| {
            let found = match document.text(field) {
                Some(text) if text == right => return None,
                Some(text) => format!("`{text}`"),
                None if document.fields().any(|(name, _)| name == field) => "what is no text".to_owned(),
                None => "nothing".to_owned(),
            };
            Some(Problem::new(field, found, format!("`{field}: {right}`")))
        });
    words.chain(unknown).collect()
}

/// Fills in the namespace and the name, or says that they are others.
fn fill(mut metadata: ObjectMeta, object: &ObjectRef, problems: &mut Vec<Problem>) -> ObjectMeta {
    let ObjectRef { namespace, name, .. } = object;
    for (field, written, right) in
        [("metadata.namespace", &mut metadata.namespace, namespace), ("metadata.name", &mut metadata.name, name)]
    {
        let written = written.get_or_insert_with(|| right.clone());
        if written != right {
            problems.push(Problem::new(field, format!("`{written}`"), format!("`{right}`, as the file's name has it")));
        }
    }
    metadata
}
