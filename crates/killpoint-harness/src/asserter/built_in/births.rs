//! Names that vary from run to run, as random ones and times do. An address tells them apart from others by
//! their births (`<new1>`), and so says which name of one run is which of another.

use killpoint_engine::image::Image;
use killpoint_model::operation::Name;
use killpoint_model::{Address, Effect, Operation};
use std::collections::HashMap;

/// The names that a run gave, by the addresses of the calls that gave them: of those calls whose addresses
/// have a name that varies.
#[derive(Default)]
pub struct Births(HashMap<Address, Vec<Name>>);

impl Births {
    /// The next operation of the run.
    pub fn note(&mut self, operation: &Operation) {
        let Address::Call { paths, .. } = &operation.address else { return };
        if paths.iter().any(|path| path.contains("<new")) {
            let given: Vec<Name> = operation.effects.iter().filter_map(given).cloned().collect();
            if !given.is_empty() {
                self.0.insert(operation.address.clone(), given);
            }
        }
    }

    /// A state that another run has left, with the names that this run gave to the same files.
    pub fn rename(&self, mut image: Image, other: &Births) -> Image {
        let mut moved = Vec::new();
        for (address, theirs) in &other.0 {
            for (theirs, ours) in theirs.iter().zip(self.0.get(address).into_iter().flatten()) {
                if theirs.bytes != ours.bytes
                    && let Some(file) = image.look_up(theirs)
                {
                    moved.push((theirs.clone(), ours.bytes.clone(), file));
                }
            }
        }
        moved.iter().for_each(|(theirs, ..)| image.set_entry(theirs, None));
        for (theirs, ours, file) in moved {
            let name = Name { directory: theirs.directory, bytes: ours };
            // A name that stands there already was not given by a call like that of this run.
            let name = if image.look_up(&name).is_some() { theirs } else { name };
            image.set_entry(&name, Some(file));
        }
        image
    }
}

/// The name that an effect gave.
fn given(effect: &Effect) -> Option<&Name> {
    match effect {
        Effect::Create { name, .. } => name.as_ref(),
        Effect::Link { name, .. } => Some(name),
        Effect::Rename { to, .. } => to.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_engine::image::Inode;
    use killpoint_model::operation::{Attributes, OperationKind};
    use killpoint_model::{FileId, FileKind};
    use std::sync::Arc;

    const ROOT: FileId = FileId(1);

    fn name(bytes: &str) -> Name {
        Name { directory: ROOT, bytes: bytes.as_bytes().to_vec() }
    }

    fn create(label: &str, file: FileId, own: &str) -> Operation {
        let address = Address::Call {
            kind: OperationKind::OpenCreate,
            paths: vec![label.to_owned()],
            ordinal: 1,
            role: None,
        };
        let (kind, attributes) = (FileKind::Regular, Attributes::default());
        let effects = vec![Effect::Create { file, name: Some(name(own)), kind, attributes }];
        Operation {
            ordinal: 1,
            address,
            shown: Vec::new(),
            process: 1,
            call: String::new(),
            result: 0,
            journal_length: 0,
            at_ns: 0,
            effects,
        }
    }

    fn births(names: &[(&str, &str)]) -> Births {
        let mut births = Births::default();
        for (index, (label, own)) in names.iter().enumerate() {
            births.note(&create(label, FileId(index as u64 + 2), own));
        }
        births
    }

    #[test]
    fn files_get_the_names_that_they_had_in_the_other_run() {
        let ours = births(&[("<new1>", "101"), ("<new2>", "102"), ("fixed", "fixed")]);
        let theirs = births(&[("<new1>", "102"), ("<new2>", "103"), ("fixed", "fixed")]);
        let directory = Inode::new(FileKind::Directory, Attributes::default());
        let mut image = Image::default();
        image.put(ROOT, Arc::new(directory));
        for (bytes, file) in [("102", 2), ("103", 3), ("fixed", 4)] {
            image.set_entry(&name(bytes), Some(FileId(file)));
        }
        let renamed = ours.rename(image, &theirs);
        for (bytes, file) in [("101", Some(2)), ("102", Some(3)), ("103", None), ("fixed", Some(4))]
        {
            assert_eq!(renamed.look_up(&name(bytes)), file.map(FileId), "{bytes}");
        }
    }
}
