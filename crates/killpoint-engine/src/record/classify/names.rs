//! Calls on names: files that are opened by name, made, moved, linked and removed.

use super::super::Recorder;
use super::super::pending::{Action, Pending};
use super::Attempt;
use crate::guest::{Guest, Place, identity};
use crate::naming::Label;
use killpoint_model::operation::{Name, OperationKind};

impl<C: FnMut() -> bool> Recorder<C> {
    pub(super) fn open(
        &mut self,
        guest: Guest,
        directory: i32,
        path: u64,
        flags: i32,
        resolve: u64,
        call: &'static str,
    ) -> Attempt {
        if flags & libc::O_PATH != 0 {
            return Ok(None);
        }
        let path = guest.read_string(path)?;
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            let probe = guest.open_within(directory, &path, resolve)?;
            let Some(file) = self.known(&probe)? else { return Ok(None) };
            let kind = OperationKind::OpenTemporary;
            return Ok(self.on_file(kind, file, call, Action::Temporary));
        }
        let exclusive = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
        let follow = flags & libc::O_NOFOLLOW == 0 && !exclusive;
        let place = guest.place_within(directory, &path, follow, resolve)?;
        match place.stat() {
            None if flags & libc::O_CREAT != 0 => {
                let Some(name) = self.state_name(&place) else {
                    self.note_outside_place(&place);
                    return Ok(None);
                };
                let labels = vec![self.namespace.label_of_name(&name)];
                let action = Action::Create { name, place };
                Ok(Some(Pending { kind: OperationKind::OpenCreate, labels, call, action }))
            }
            Some(stat)
                if flags & libc::O_TRUNC != 0
                    && !exclusive
                    && stat.st_mode & libc::S_IFMT == libc::S_IFREG =>
            {
                let file = self.identities.get(&identity(&stat)).copied();
                if file.is_none() {
                    self.note_outside_place(&place);
                }
                Ok(file.and_then(|file| {
                    let action = Action::Resize { file, size: 0 };
                    self.on_file(OperationKind::OpenTruncate, file, call, action)
                }))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn rename(
        &mut self,
        guest: Guest,
        from: (i32, u64),
        to: (i32, u64),
        flags: u32,
        call: &'static str,
    ) -> Attempt {
        let from = guest.place(from.0, &guest.read_string(from.1)?, false)?;
        let to = guest.place(to.0, &guest.read_string(to.1)?, false)?;
        let Some(stat) = from.stat() else { return Ok(None) };
        self.ask_about_rename(call, &from, &to);
        if flags & libc::RENAME_NOREPLACE != 0 && to.stat().is_some() {
            return Ok(None);
        }
        let (from_name, to_name) = (self.state_name(&from), self.state_name(&to));
        if from_name.is_none() && to_name.is_none() {
            self.note_outside_place(&from);
            self.note_outside_place(&to);
            return Ok(None);
        }
        let mut labels = Vec::new();
        for (name, place) in [(&from_name, &from), (&to_name, &to)] {
            labels.push(match name {
                Some(name) => self.namespace.label_of_name(name),
                None => outside_label(&place.name),
            });
        }
        let from = from_name.and_then(|name| {
            let file = *self.identities.get(&identity(&stat))?;
            Some((name, file))
        });
        let action = Action::Rename {
            from,
            to: to_name.map(|name| (name, to)),
            exchange: flags & libc::RENAME_EXCHANGE != 0,
        };
        Ok(Some(Pending { kind: OperationKind::Rename, labels, call, action }))
    }

    pub(super) fn link(
        &mut self,
        guest: Guest,
        from: (i32, u64),
        to: (i32, u64),
        flags: i32,
        call: &'static str,
    ) -> Attempt {
        let place = guest.place(to.0, &guest.read_string(to.1)?, false)?;
        let path = guest.read_string(from.1)?;
        let probe = if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            self.descriptors.copy(guest.thread, from.0)?.into_file()
        } else {
            guest.open_path(from.0, &path, flags & libc::AT_SYMLINK_FOLLOW != 0)?
        };
        self.ask_about_link(call, &probe, &place);
        if place.stat().is_some() {
            return Ok(None);
        }
        let Some(name) = self.state_name(&place) else {
            self.note_outside_place(&place);
            return Ok(None);
        };
        let source = self.known(&probe)?;
        let from_label = source
            .and_then(|file| self.namespace.label(file))
            .unwrap_or_else(|| outside_label(b"unnamed"));
        let labels = vec![from_label, self.namespace.label_of_name(&name)];
        let action = Action::Link { source, name, place };
        Ok(Some(Pending { kind: OperationKind::Link, labels, call, action }))
    }

    /// mkdir, symlink, mknod.
    pub(super) fn make(
        &mut self,
        guest: Guest,
        directory: i32,
        path: u64,
        call: &'static str,
    ) -> Attempt {
        let kind = match call {
            "mkdir" | "mkdirat" => OperationKind::Mkdir,
            "symlink" | "symlinkat" => OperationKind::Symlink,
            _ => OperationKind::Mknod,
        };
        let place = guest.place(directory, &guest.read_string(path)?, false)?;
        if self.state_name(&place).is_none() && place.stat().is_none() {
            self.note_outside_place(&place);
        }
        Ok(self.creation(kind, place, call))
    }

    pub(super) fn creation(
        &self,
        kind: OperationKind,
        place: Place,
        call: &'static str,
    ) -> Option<Pending> {
        let name = self.state_name(&place)?;
        if place.stat().is_some() {
            return None;
        }
        let labels = vec![self.namespace.label_of_name(&name)];
        Some(Pending { kind, labels, call, action: Action::Create { name, place } })
    }

    pub(super) fn remove(
        &mut self,
        guest: Guest,
        directory: i32,
        path: u64,
        is_directory: bool,
        call: &'static str,
    ) -> Attempt {
        let place = guest.place(directory, &guest.read_string(path)?, false)?;
        let Some(stat) = place.stat() else { return Ok(None) };
        if is_directory {
            self.ask_about_removal(call, &place);
        }
        let Some(name) = self.state_name(&place) else {
            self.note_outside_place(&place);
            return Ok(None);
        };
        if (stat.st_mode & libc::S_IFMT == libc::S_IFDIR) != is_directory {
            return Ok(None);
        }
        let Some(file) = self.identities.get(&identity(&stat)).copied() else { return Ok(None) };
        let kind = if is_directory { OperationKind::Rmdir } else { OperationKind::Unlink };
        let labels = vec![self.namespace.label_of_name(&name)];
        Ok(Some(Pending { kind, labels, call, action: Action::Unlink { name, file } }))
    }

    /// A place whose directory belongs to the state.
    fn state_name(&self, place: &Place) -> Option<Name> {
        let directory = *self.identities.get(&place.identity)?;
        Some(Name { directory, bytes: place.name.clone() })
    }
}

fn outside_label(name: &[u8]) -> Label {
    Label::alike(&format!("<outside>/{}", killpoint_model::address::escape(name)))
}
