#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Why a snapshot cannot be read or written, for an operator. Holds nothing of a file's contents.
package enum SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file does not begin as one.
    case notASnapshot
    /// Of another format.
    case unknownVersion(UInt16)
    /// The file ends before its last part, or goes on behind it.
    case truncated
    /// A part is not what was written.
    case damaged
    /// A part is not what was written with this key.
    case notSealedWithKey
    /// It is encrypted, and there is no key.
    case keyMissing
    /// It is not encrypted, and there is a key.
    case notEncrypted
    /// Whole and unchanged, but not what a snapshot holds.
    case malformed
    /// No 32 bytes.
    case unusableKey
    /// A call of the system's has failed.
    case system(call: String, code: Int32)

    package var description: String {
        switch self {
        case .notASnapshot: "not a snapshot of Mynah"
        case .unknownVersion(let version):
            "written in format \(version), and this version of Mynah reads format "
                + "\(SnapshotHeader.formatVersion)"
        case .truncated: "truncated: it was not written to its end, or something follows it"
        case .damaged: "damaged: its checksum is wrong"
        case .notSealedWithKey: "the key is another one, or the file was changed"
        case .keyMissing: "encrypted, and no key is configured (snapshot.key_file or key_env)"
        case .notEncrypted: "not encrypted, although a key is configured: not trusted"
        case .malformed: "its contents are malformed"
        case .unusableKey: "the key is not 32 bytes as 64 hexadecimal digits or in base64"
        case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
        }
    }

    /// That of the last call of the system's.
    static func last(_ call: String) -> SnapshotError { .system(call: call, code: errno) }
}
