//! The access rights and the owner of a pipe.
#![allow(unsafe_code, reason = "the calls for security have no safe wrapper")]

use std::ffi::{CStr, OsStr, c_void};
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidA, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, SECURITY_ATTRIBUTES, TOKEN_QUERY,
    TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::{length, system_error, wide};
use crate::error::Obstacle;
use crate::sys::Access;

/// The system itself, and its administrators.
const TRUSTED: [&str; 2] = ["S-1-5-18", "S-1-5-32-544"];

/// Reading and writing for every user who has logged on, without the right to make instances: that is in `FW`.
const LOCAL_USERS: &str = "(A;;0x12019b;;;AU)";

/// A security descriptor, as a rule with full access for this user, and none for any other.
///
/// That one is protected, so that nothing is inherited. The owner is set, because for an administrator the default
/// is the group of all administrators.
#[derive(Debug)]
pub(super) struct Descriptor(Local);

impl Descriptor {
    /// The descriptor of a new pipe.
    pub(super) fn new(access: &Access) -> io::Result<Self> {
        match access {
            Access::Owner => Self::for_this_user(""),
            Access::LocalUsers => Self::for_this_user(LOCAL_USERS),
            Access::Sddl(text) if text.contains('\0') => {
                Err(Obstacle::BadAccess("it contains a NUL character".into()).into())
            }
            Access::Sddl(text) => {
                Self::of(text).map_err(|error| Obstacle::BadAccess(error.to_string()).into())
            }
            Access::Group(_) => Err(Obstacle::OtherAccess("`Access::Group` is of Unix").into()),
        }
    }

    /// Full access for this user, and further entries.
    fn for_this_user(others: &str) -> io::Result<Self> {
        let user = this_user()?;
        Self::of(&format!("O:{user}D:P(A;;FA;;;{user}){others}"))
    }

    fn of(text: &str) -> io::Result<Self> {
        let text = wide(OsStr::new(text));
        let mut descriptor = null_mut();
        // SAFETY: the text ends with NUL, and the result goes to a place of its type.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(Local(descriptor)))
    }

    /// The attributes with this descriptor, not inheritable. They are valid as long as it lives.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: length(size_of::<SECURITY_ATTRIBUTES>()),
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }
}

/// Refuses a pipe of any other owner than this user and the administrators of the system.
pub(super) fn ensure_trusted(pipe: BorrowedHandle<'_>) -> io::Result<()> {
    let owner = owner(pipe)?;
    if TRUSTED.contains(&owner.as_str()) || owner == this_user()? {
        return Ok(());
    }
    Err(Obstacle::NotTrusted { owner }.into())
}

/// The owner of a pipe, as text.
pub(super) fn owner(pipe: BorrowedHandle<'_>) -> io::Result<String> {
    let mut owner: PSID = null_mut();
    let mut descriptor = null_mut();
    // SAFETY: the handle is open, and each result that is asked for goes to a place of its type.
    let code = unsafe {
        GetSecurityInfo(
            pipe.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(system_error(code));
    }
    let _descriptor = Local(descriptor);
    // SAFETY: the owner lies in the descriptor, which is freed at the end of this function.
    unsafe { text_of(owner) }
}

/// The identifier of the user of this process, as text.
pub(super) fn this_user() -> io::Result<String> {
    // SAFETY: it only returns a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this stands for the process itself as long as it runs.
    let this = unsafe { BorrowedHandle::borrow_raw(this) };
    user_of(&process_token(this)?)
}

/// The token of a process, opened to query its user.
pub(super) fn process_token(process: BorrowedHandle<'_>) -> io::Result<OwnedHandle> {
    let mut token = null_mut();
    // SAFETY: the process is open, and the result goes to a place of its type.
    if unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is valid, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(token) })
}

/// The identifier of the user of a token, as text.
pub(super) fn user_of(token: &OwnedHandle) -> io::Result<String> {
    /// The user, and room for the longest identifier there is, to which it points.
    #[repr(C)]
    struct User {
        user: TOKEN_USER,
        sid: [u8; 68],
    }
    let mut user = User { user: TOKEN_USER::default(), sid: [0; 68] };
    let mut len = length(size_of::<User>());
    // SAFETY: the token is open, and the place is as large as is said, and aligned.
    let done = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            (&raw mut user).cast::<c_void>(),
            len,
            &raw mut len,
        )
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the identifier lies behind the user in the same place, which lives on.
    unsafe { text_of(user.user.User.Sid) }
}

/// An identifier as text.
///
/// # Safety
///
/// It is null, or points to an identifier.
unsafe fn text_of(sid: PSID) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the call refuses null and what is no identifier. The result goes to a place of its type.
    if unsafe { ConvertSidToStringSidA(sid, &raw mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let text = Local(text.cast());
    // SAFETY: what the call returned is a string that ends with NUL.
    let text = unsafe { CStr::from_ptr(text.0.cast_const().cast()) };
    Ok(text.to_string_lossy().into_owned())
}

/// Memory of the system's local heap.
#[derive(Debug)]
struct Local(*mut c_void);

// SAFETY: the memory belongs to no thread, and is freed once.
unsafe impl Send for Local {}

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the system allocated it for us, and nothing else frees it.
        unsafe { LocalFree(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::windows::io::AsHandle;

    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorA;
    use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR};

    use super::super::testing::{NOW, is_wine, pipe};
    use super::super::{Event, Raw};
    use super::*;
    use crate::sys::Way;

    fn in_words(descriptor: PSECURITY_DESCRIPTOR) -> String {
        let parts = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        let mut text = null_mut();
        // SAFETY: the descriptor is one, and the result goes to a place of its type.
        let done = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorA(
                descriptor,
                SDDL_REVISION_1,
                parts,
                &raw mut text,
                null_mut(),
            )
        };
        assert_ne!(done, 0);
        let text = Local(text.cast());
        // SAFETY: what the call returned is a string that ends with NUL.
        unsafe { CStr::from_ptr(text.0.cast()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn c3_a_pipe_is_for_this_user_alone() {
        let user = this_user().unwrap();
        assert!(user.starts_with("S-1-5-"), "{user}");
        let want = format!("O:{user}D:P(A;;FA;;;{user})");
        let descriptor = Descriptor::new(&Access::Owner).unwrap();
        assert_eq!(descriptor.attributes().bInheritHandle, 0);
        // Well-known users are written with two letters: in that case the words differ.
        let words = in_words(descriptor.0.0);
        assert!(words == want || !words.contains("S-1-5-"), "{words}");
        if is_wine("the DACL of a pipe is empty") {
            return;
        }
        let (path, _node) = pipe();
        let client = Raw::open(&path, Way::In, false, NOW).unwrap();
        let mut found = null_mut();
        // SAFETY: the handle is open, and the result goes to a place of its type.
        let code = unsafe {
            GetSecurityInfo(
                client.as_handle().as_raw_handle(),
                SE_KERNEL_OBJECT,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut found,
            )
        };
        assert_eq!(code, ERROR_SUCCESS);
        let found = Local(found);
        assert_eq!(in_words(found.0), words);
    }

    #[test]
    fn c2_other_users_get_no_right_to_make_instances() {
        let words = in_words(Descriptor::new(&Access::LocalUsers).unwrap().0.0);
        let (_, entry) = words.split_once(";;;AU)").map_or_else(
            || panic!("no entry of other users: {words}"),
            |(before, _)| before.rsplit_once("(A;;").unwrap(),
        );
        assert_eq!(
            u32::from_str_radix(entry.trim_start_matches("0x"), 16),
            Ok(0x12_019b),
            "{words}"
        );
        assert_eq!(
            0x12_019b & windows_sys::Win32::Storage::FileSystem::FILE_CREATE_PIPE_INSTANCE,
            0
        );
    }

    #[test]
    fn c3_a_descriptor_of_the_program_is_taken_or_refused() {
        let text = "D:P(A;;FA;;;WD)";
        let words = in_words(Descriptor::new(&Access::Sddl(text.into())).unwrap().0.0);
        assert!(words.contains("(A;;FA;;;WD)"), "{words}");
        for text in ["", "nonsense", "D:P(A;;FA;;;WD)\0"] {
            let error = Descriptor::new(&Access::Sddl(text.into()));
            if text.is_empty() && error.is_ok() {
                continue; // no descriptor in it
            }
            assert!(error.unwrap_err().to_string().contains("not valid"), "{text:?}");
        }
    }

    #[test]
    fn c7_the_owner_of_a_pipe_is_known() {
        let (path, _node) = pipe();
        let client = Raw::open(&path, Way::Out, false, NOW).unwrap();
        assert_eq!(owner(client.as_handle()).unwrap(), this_user().unwrap());
    }

    #[test]
    fn c28_no_handle_is_inheritable() {
        use windows_sys::Win32::Foundation::{GetHandleInformation, HANDLE_FLAG_INHERIT};
        let (path, _node) = pipe();
        let client = Raw::open(&path, Way::Out, false, NOW).unwrap();
        let event: OwnedHandle = Event::new().unwrap().into();
        for handle in [client.as_handle(), event.as_handle()] {
            let mut flags = 0;
            // SAFETY: the handle is open, and the flags go to a place of their type.
            assert_ne!(unsafe { GetHandleInformation(handle.as_raw_handle(), &raw mut flags) }, 0);
            assert_eq!(flags & HANDLE_FLAG_INHERIT, 0);
        }
    }
}
