import Foundation
import Testing

@testable import Snapshots

/// Files on disk.
@Suite struct SnapshotDirectoryTests {
    private func withDirectory(_ body: (SnapshotDirectory) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "/mynah-test-\(UUID().uuidString)"
        let directory = SnapshotDirectory(path: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try directory.prepare()
        try body(directory)
    }

    private func names(_ directory: SnapshotDirectory) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    private func write(_ path: String, key: SnapshotKey? = nil) throws {
        let sample = SampleCache()
        sample.store("SELECT 1", "one", cells: [])
        let size = try SnapshotFile.write(to: path, created: 7, key: key) {
            (writer) throws(SnapshotError) in
            _ = try SnapshotCollection(of: sample.cache, now: 0).write(
                to: &writer, provenance: SampleCache.provenance, cells: sample.cells,
                identities: sample.identities)
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.size] as? Int == size)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test("The newest come first, and the oldest go")
    func retention() throws {
        try withDirectory { directory in
            // Across the changes of seconds, days and years.
            let times: [UInt64] = [
                999, 1_000, 86_399_999, 86_400_000, 1_700_000_000_000, 1_800_000_000_001,
            ]
            for time in times { try write(directory.name(created: time)) }
            #expect(try directory.snapshots() == times.reversed().map(directory.name(created:)))
            #expect(directory.name(created: 0).hasSuffix("/mynah-19700101T000000.000Z.snapshot"))
            try write(directory.path + "/mine")
            #expect(try directory.prune(keep: 2) == 4)
            #expect(try directory.snapshots() == times.suffix(2).reversed().map(directory.name))
            #expect(try directory.prune(keep: 0) == 1, "the last one stays")
            #expect(try names(directory).contains("mine"))
        }
    }

    @Test("What fails leaves what was there, and nothing of itself")
    func failures() throws {
        try withDirectory { directory in
            let path = directory.path + "/file"
            try write(path)
            let before = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(throws: SnapshotError.malformed) {
                try SnapshotFile.write(to: path, created: 0, key: nil) {
                    (writer) throws(SnapshotError) in
                    try writer.append(.provenance(SampleCache.provenance))
                    throw .malformed
                }
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
            // The name is a directory's.
            try FileManager.default.createDirectory(
                atPath: directory.path + "/taken", withIntermediateDirectories: false)
            #expect(throws: SnapshotError.self) { try write(directory.path + "/taken") }
            let missing = SnapshotError.system(
                call: "cannot create a file in /nowhere", code: ENOENT)
            #expect(throws: missing) { try write("/nowhere/file") }
            #expect(try names(directory) == ["file", "taken"])
        }
    }

    @Test("What was left half written is removed; what others can write to is not used")
    func preparation() throws {
        try withDirectory { directory in
            let attributes = try FileManager.default.attributesOfItem(atPath: directory.path)
            #expect(attributes[.posixPermissions] as? Int == 0o700)
            let torn = directory.path + "/" + SnapshotDirectory.temporaryPrefix + "1"
            #expect(FileManager.default.createFile(atPath: torn, contents: Data([1])))
            try write(directory.name(created: 1))
            try directory.prepare()
            #expect(try names(directory).count == 2, "another process may be writing it")
            try directory.removeUnfinished()
            #expect(try names(directory).count == 1)
            for mode in [0o720, 0o702, 0o777] {
                try FileManager.default.setAttributes(
                    [.posixPermissions: mode], ofItemAtPath: directory.path)
                #expect(throws: SnapshotError.self) { try directory.prepare() }
            }
            #expect(throws: SnapshotError.self) {
                try SnapshotDirectory(path: directory.name(created: 1)).prepare()
            }
        }
    }

    @Test("A file on disk is read back; what is no file is none")
    func reading() throws {
        try withDirectory { directory in
            let key = try SnapshotKey(String(repeating: "0", count: 64))
            let path = directory.name(created: 1)
            try write(path, key: key)
            let image = try SnapshotFile.read(path, key: key)
            #expect(image.replyCount == 1 && image.header.created == 7)
            #expect(throws: SnapshotError.keyMissing) { try SnapshotFile.read(path, key: nil) }
            #expect(throws: SnapshotError.notASnapshot) {
                try SnapshotFile.read(directory.path, key: nil)
            }
            let pipe = directory.path + "/pipe"
            #expect(mkfifo(pipe, 0o600) == 0)
            #expect(throws: SnapshotError.notASnapshot) { try SnapshotFile.read(pipe, key: nil) }
        }
    }
}
