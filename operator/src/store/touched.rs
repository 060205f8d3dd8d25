//! What a change concerns.

use std::collections::BTreeSet;

use streamgate_crds::ObjectRef;

use super::{GeneratedKey, MaterialKey, Name};

/// What is to be resolved again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Which StreamRoutes and TlsSnis take effect.
    pub judgement: bool,
    /// Services.
    pub services: BTreeSet<Name>,
    /// Secrets and ConfigMaps.
    pub materials: BTreeSet<MaterialKey>,
    /// Generated objects, which are other than they were.
    pub generated: BTreeSet<GeneratedKey>,
    /// Objects whose status is other than it was.
    pub statuses: BTreeSet<ObjectRef>,
    /// Which proxies count, and what they say.
    pub reports: bool,
}

impl Touched {
    /// Everything that follows from StreamRoutes and TlsSnis.
    pub fn everything() -> Self {
        Self { judgement: true, reports: true, ..Self::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both, for changes that come together.
    pub fn merge(&mut self, other: Self) {
        let Self { judgement, services, materials, generated, statuses, reports } = other;
        self.judgement |= judgement;
        self.services.extend(services);
        self.materials.extend(materials);
        self.generated.extend(generated);
        self.statuses.extend(statuses);
        self.reports |= reports;
    }
}
