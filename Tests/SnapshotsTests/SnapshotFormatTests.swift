import Foundation
import NIOCore
import ResultCache
import Testing

@testable import Snapshots

/// Files: what was written is read, and nothing else is.
@Suite struct SnapshotFormatTests {
    static let key = try? SnapshotKey(String(repeating: "5a", count: 32))
    static let otherKey = try? SnapshotKey(String(repeating: "5b", count: 32))
    /// Without a key and with one.
    static let keys = [nil, key]

    private func sample() -> SampleCache {
        let sample = SampleCache()
        for n in 1...3 { sample.store("SELECT \(n)", "row\(n)", cells: [sample.all("a")]) }
        return sample
    }

    @Test("What was written is read", arguments: [false, true])
    func roundTrip(isEncrypted: Bool) throws {
        let sample = sample()
        let key = isEncrypted ? Self.key : nil
        let file = try sample.file(key: key)
        let image = try SampleFile.read(file, key: key)
        #expect(image.provenance == SampleCache.provenance)
        #expect(image.header.created == 1_000)
        #expect(image.identities.values.map { $0 } == [SampleCache.login])
        #expect(
            Set(image.cells.values) == [
                .schema(database: "shop"), .all(database: "shop", relation: "a"),
            ])
        #expect(Set(image.replies.map { String(buffer: $0.body) }) == ["row1", "row2", "row3"])
        #expect(image.replyCount == 3)
        #expect((Data(file).range(of: Data("row2".utf8)) == nil) == isEncrypted)
        #expect((Data(file).range(of: Data("SELECT".utf8)) == nil) == isEncrypted)
    }

    @Test("Two files of the same contents share no bytes but the first")
    func freshKeys() throws {
        let sample = sample()
        let one = try sample.file(key: Self.key)
        let other = try sample.file(key: Self.key)
        #expect(one[..<20] == other[..<20])
        #expect(one[20..<52] != other[20..<52])
        let equal = zip(one[57...], other[57...]).count { $0 == $1 }
        #expect(equal < one.count / 16, "as many as chance has")
    }

    @Test("A changed byte is noticed, wherever it is", arguments: [false, true])
    func everyByte(isEncrypted: Bool) throws {
        let key = isEncrypted ? Self.key : nil
        let file = try sample().file(key: key)
        for index in file.indices {
            for change in [UInt8(1), 0x80, 0xFF] {
                var changed = file
                changed[index] ^= change
                #expect(SampleFile.error(changed, key: key) != nil, "byte \(index) ^ \(change)")
            }
        }
    }

    @Test("A file that is cut off, or goes on, is refused", arguments: [false, true])
    func everyLength(isEncrypted: Bool) throws {
        let key = isEncrypted ? Self.key : nil
        let file = try sample().file(key: key)
        for length in file.indices {
            let error = SampleFile.error(Array(file[..<length]), key: key)
            #expect(error == .truncated || error == .notASnapshot && length == 0, "\(length)")
        }
        #expect(SampleFile.error(file + [0], key: key) == .truncated)
        #expect(SampleFile.error(file + file, key: key) == .truncated)
    }

    @Test("A file that ends with a part that is not the last is one that was cut off")
    func missingLast() throws {
        let header = SnapshotHeader(isEncrypted: true, created: 0)
        var seal = ChunkSeal(header: header, key: Self.key)
        let file = header.bytes + (try seal.seal([], isLast: false))
        #expect(SampleFile.error(file, key: Self.key) == .truncated)
    }

    @Test("Parts that change places are noticed", arguments: [false, true])
    func reordered(isEncrypted: Bool) throws {
        let key = isEncrypted ? Self.key : nil
        let sample = SampleCache()
        for n in 1...4 {
            sample.store(
                "SELECT \(n)", String(repeating: "\(n)", count: 1 << 20), cells: [sample.all("a")])
        }
        let file = try sample.file(key: key)
        #expect(try SampleFile.read(file, key: key).replies.count == 4)
        let part = ChunkSeal.prefixLength + ChunkSeal.maximumLength + (key == nil ? 32 : 16)
        let (first, second) = (52..<52 + part, 52 + part..<52 + 2 * part)
        var swapped = file
        swapped.replaceSubrange(first, with: file[second])
        swapped.replaceSubrange(second, with: file[first])
        #expect(SampleFile.error(swapped, key: key) == (key == nil ? .damaged : .notSealedWithKey))
        var dropped = file
        dropped.removeSubrange(first)
        #expect(SampleFile.error(dropped, key: key) == (key == nil ? .damaged : .notSealedWithKey))
    }

    @Test("A later format, another file, another key: each is told apart")
    func refusals() throws {
        let plain = try sample().file()
        let sealed = try sample().file(key: Self.key)
        var later = plain
        later[9] = 2
        #expect(SampleFile.error(later) == .unknownVersion(2))
        // Whatever a later format makes of the rest.
        #expect(SampleFile.error(Array(later[..<10])) == .unknownVersion(2))
        #expect(SampleFile.error(Array("#!/bin/sh\n".utf8)) == .notASnapshot)
        #expect(SampleFile.error(sealed) == .keyMissing)
        #expect(SampleFile.error(sealed, key: Self.otherKey) == .notSealedWithKey)
        #expect(SampleFile.error(plain, key: Self.key) == .notEncrypted)
        // Nor by saying that it is encrypted, or that it is not.
        var claims = plain
        claims[11] = 1
        #expect(SampleFile.error(claims, key: Self.key) == .notSealedWithKey)
        var denies = sealed
        denies[11] = 0
        #expect(SampleFile.error(denies) != nil)
    }

    @Test("A part that claims to be longer than parts are is refused before it is read")
    func hostilePart() throws {
        let file = try sample().file()
        for length: UInt32 in [.max, 1 << 31, UInt32(ChunkSeal.maximumLength + 1)] {
            var changed = file
            let bytes = withUnsafeBytes(of: length.bigEndian, Array.init)
            changed.replaceSubrange(53..<57, with: bytes)
            #expect(SampleFile.error(changed) == .damaged)
        }
    }

    @Test("Records that are sealed and still none are refused")
    func hostileRecords() throws {
        func record(_ kind: UInt8, _ length: UInt32, _ body: [UInt8]) -> [UInt8] {
            [kind] + withUnsafeBytes(of: length.bigEndian, Array.init) + body
        }
        var provenance = ByteBuffer()
        SnapshotRecord.provenance(SampleCache.provenance).write(to: &provenance)
        let first = Array(provenance.readableBytesView)
        let end = record(5, 8, [UInt8](repeating: 0, count: 8))
        #expect(try SampleFile.read(SampleFile.bytes(payloads: [first + end])).replyCount == 0)
        let hostile: [[UInt8]] = [
            [], first, end, first + first + end, first + end + end, end + first,
            first + record(0, 0, []) + end, first + record(6, 0, []) + end,
            first + record(4, .max, []), first + record(4, 0, []) + end,
            first + record(4, 1 << 20, [1, 2, 3]), first + record(5, 7, [0, 0, 0, 0, 0, 0, 0]),
            first + record(5, 8, [0, 0, 0, 0, 0, 0, 0, 1]),
            first + record(5, 9, [UInt8](repeating: 0, count: 9)),
            // Lengths within: of a name, of a list of settings, of a key.
            first + record(2, 9, [0, 0, 0, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF]) + end,
            first + record(3, 18, [UInt8](repeating: 0, count: 16) + [0xFF, 0xFF]) + end,
            first + record(4, 20, [UInt8](repeating: 0xFF, count: 20)) + end,
        ]
        for payload in hostile {
            let file = try SampleFile.bytes(payloads: [payload])
            #expect(SampleFile.error(file) == .malformed, "\(payload)")
        }
        // Cut anywhere between two parts it is the same as whole.
        for cut in 1..<(first + end).count {
            let whole = first + end
            let file = try SampleFile.bytes(payloads: [Array(whole[..<cut]), Array(whole[cut...])])
            #expect(SampleFile.error(file) == nil)
        }
    }

    @Test("Sealed bytes of any content never trap")
    func anyContent() throws {
        var generator = SystemRandomNumberGenerator()
        let valid = try SampleFile.bytes(key: nil) { (writer) throws(SnapshotError) in
            let sample = sample()
            _ = try SnapshotCollection(of: sample.cache, now: 0).write(
                to: &writer, provenance: SampleCache.provenance, cells: sample.cells,
                identities: sample.identities)
        }
        let payload = Array(valid[57..<(valid.count - 32)])
        for _ in 0..<5_000 {
            var changed = payload
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: changed.indices, using: &generator)
                changed[index] = UInt8.random(in: .min ... .max, using: &generator)
            }
            let file = try SampleFile.bytes(payloads: [changed])
            guard let image = try? SampleFile.read(file) else { continue }
            // What is read without complaint is restored, or not, without one.
            let target = SampleCache()
            let restorer = SnapshotRestorer(
                image, cells: target.cells, identities: target.identities)
            _ = restorer.store(into: target.cache, age: 0, now: 0)
            _ = image.replies.map(WarmUpStatement.init)
        }
    }

    @Test("Keys are 32 bytes, in hexadecimal digits or base64, and print as nothing")
    func keys() throws {
        let bytes = Data((0..<32).map { UInt8($0) })
        let hex = bytes.map { String(format: "%02x", $0) }.joined()
        let keys = [hex, hex.uppercased() + "\n", " \(bytes.base64EncodedString())\n"]
        for text in keys {
            let file = try sample().file(key: try SnapshotKey(text))
            #expect(SampleFile.error(file, key: try SnapshotKey(hex)) == nil)
        }
        let key = try SnapshotKey(hex)
        var dumped = ""
        dump(key, to: &dumped)
        #expect("\(key) \(String(reflecting: key)) \(dumped)".contains("0001") == false)
        let wrong = [
            "", hex + "00", String(hex.dropLast()), "g" + hex.dropFirst(), "AAAA",
            "+1" + hex.dropFirst(2),
        ]
        for text in wrong {
            #expect(throws: SnapshotError.unusableKey) { try SnapshotKey(text) }
        }
    }
}
