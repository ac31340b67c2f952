#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The rule by which PostgreSQL and libpq accept the file of a private key.
package enum KeyFile {
    package enum Access {
        case readable, unreadable, missing
    }

    package static func access(_ path: String) -> Access {
        guard systemAccess(path, F_OK) == 0 else { return .missing }
        return systemAccess(path, R_OK) == 0 ? .readable : .unreadable
    }

    /// Whether nobody but its owner can read the file; root's may be readable by one group.
    package static func isPrivate(_ path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return false }
        let others = status.st_mode & (status.st_uid == 0 ? 0o027 : 0o077)
        return others == 0
    }
}

/// access(2), whose name the method above takes.
private func systemAccess(_ path: String, _ mode: Int32) -> Int32 {
    access(path, mode)
}
