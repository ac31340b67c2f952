import Foundation
import NIOCore

/// Snapshots on disk.
package enum SnapshotFile {
    /// Writes a snapshot to `path` in one step: whoever looks there, also after a crash, finds the
    /// whole file, or what was there before. Only its owner can read it. Returns its size in bytes.
    ///
    /// Where that fails (a disk that is full, for one), nothing of it stays.
    package static func write(
        to path: String, created: UInt64, key: SnapshotKey?,
        _ body: (inout SnapshotWriter) throws(SnapshotError) -> Void
    ) throws(SnapshotError) -> Int {
        let target = SnapshotDirectory.split(path)
        let temporary =
            "\(target.directory)/\(SnapshotDirectory.temporaryPrefix)\(UUID().uuidString)"
        // Read as well as written by the closure, which must not outlive the call.
        let descriptor = open(
            temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .last("cannot create a file in \(target.directory)") }
        do throws(SnapshotError) {
            let size = try fill(descriptor, created, key, body)
            guard rename(temporary, path) == 0 else { throw .last("cannot rename the file") }
            try synchronize(directory: target.directory)
            return size
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Closes the descriptor, whatever happens.
    private static func fill(
        _ descriptor: Int32, _ created: UInt64, _ key: SnapshotKey?,
        _ body: (inout SnapshotWriter) throws(SnapshotError) -> Void
    ) throws(SnapshotError) -> Int {
        let size = Tally()
        do throws(SnapshotError) {
            var writer = try SnapshotWriter(created: created, key: key) {
                (bytes) throws(SnapshotError) in
                try writeAll(bytes, to: descriptor)
                size.bytes += bytes.count
            }
            try body(&writer)
            try writer.finish()
            guard fsync(descriptor) == 0 else { throw .last("cannot write the file to disk") }
        } catch {
            close(descriptor)
            throw error
        }
        guard close(descriptor) == 0 else { throw .last("cannot close the file") }
        return size.bytes
    }

    /// Bytes written so far; a class because the writer's sink escapes.
    private final class Tally {
        var bytes = 0
    }

    private static func writeAll(
        _ bytes: [UInt8], to descriptor: Int32
    ) throws(SnapshotError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Foundation.write(
                    descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
            }
            if count > 0 {
                written += count
            } else if count == 0 || errno != EINTR {
                throw .last("cannot write the file")
            }
        }
    }

    /// Makes the new name durable.
    static func synchronize(directory: String) throws(SnapshotError) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("cannot open \(directory)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .last("cannot write \(directory) to disk") }
    }

    /// Reads and checks the whole file. See `SnapshotImage`.
    package static func read(
        _ path: String, key: SnapshotKey?, maximumBytes: Int = .max
    ) throws(SnapshotError) -> SnapshotImage {
        // Not one that would keep the reader waiting: a FIFO has no end.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .last("cannot open the file") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .last("cannot open the file") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notASnapshot }
        return try SnapshotImage(
            key: key, maximumBytes: maximumBytes, size: Int(status.st_size)
        ) { (count) throws(SnapshotError) in
            try readBytes(count, from: descriptor)
        }
    }

    private static func readBytes(
        _ count: Int, from descriptor: Int32
    ) throws(SnapshotError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                Foundation.read(
                    descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done)
            }
            if got > 0 {
                done += got
            } else if got == 0 {
                break
            } else if errno != EINTR {
                throw .last("cannot read the file")
            }
        }
        bytes.removeLast(count - done)
        return bytes
    }
}
