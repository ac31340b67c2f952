import CSQLite
import Foundation
import PostgresWire

/// What kind of file system a database file is on.
enum FileSystem {
    /// Throws where the file is on a network file system: the memory that processes share through
    /// the file is not shared between machines there, and locks often do not work.
    /// https://www.sqlite.org/wal.html#overview
    static func checkIsLocal(_ path: String) throws {
        #if os(Linux)
            let network = networkName(ofMagic: mynah_file_system_magic(path))
        #else
            var status = statfs()
            guard statfs(path, &status) == 0 else { return }
            let network = status.f_flags & UInt32(MNT_LOCAL) == 0 ? "a network file system" : nil
        #endif
        guard let network else { return }
        throw PostgresError(
            .featureNotSupported,
            "the SQLite database \(path) is on a network file system (\(network))",
            hint: "Move it to a local disk: SQLite cannot notice there what others write.")
    }

    /// The file system's name if its magic number is that of a network's.
    /// https://man7.org/linux/man-pages/man2/statfs.2.html
    static func networkName(ofMagic magic: UInt32) -> String? {
        switch magic {
        case 0x6969: "NFS"
        case 0x517B: "SMB"
        case 0xFE53_4D42: "SMB2"
        case 0xFF53_4D42: "CIFS"
        case 0x5346_414F, 0x6B41_4653: "AFS"
        case 0x7375_7245: "Coda"
        case 0x00C3_6400: "Ceph"
        case 0x0BD0_0BD0: "Lustre"
        case 0x0116_1970: "GFS2"
        case 0x7461_636F: "OCFS2"
        default: nil
        }
    }
}
