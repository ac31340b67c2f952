import Crypto
import NIOCore
import TestSupport
import Testing

@testable import Replication

@Suite("Frames on the mirror port")
struct MirrorFramingTests {
    private static let longest = 1 << 16
    private let key = SymmetricKey(data: [UInt8](repeating: 1, count: 32))
    private let one = [UInt8](repeating: 1, count: 32)
    private let two = [UInt8](repeating: 2, count: 32)

    private func pair(
        keys: (SymmetricKey, SymmetricKey)? = nil
    ) -> (follower: MirrorFraming, primary: MirrorFraming) {
        var follower = MirrorFraming(longestFrame: Self.longest)
        var primary = MirrorFraming(longestFrame: Self.longest)
        follower.seal(
            with: keys?.0 ?? key, followerNonce: one, primaryNonce: two, isFollower: true)
        primary.seal(
            with: keys?.1 ?? key, followerNonce: one, primaryNonce: two, isFollower: false)
        follower.trust()
        primary.trust()
        return (follower, primary)
    }

    private func text(_ framing: inout MirrorFraming) throws -> String? {
        try framing.next().map { String(buffer: $0) }
    }

    @Test("What one side seals the other opens, in both directions and in any pieces")
    func roundTrip() throws {
        var (follower, primary) = pair()
        let texts = ["", "a", String(repeating: "long", count: 1000)]
        for text in texts {
            var frame = follower.frame(ByteBuffer(string: text))
            if text.count > 8 { #expect(!String(buffer: frame).contains("long")) }
            while let byte = frame.readSlice(length: min(7, frame.readableBytes)),
                byte.readableBytes > 0
            {
                primary.append(byte)
            }
            #expect(try self.text(&primary) == text)
            #expect(try self.text(&primary) == nil)
        }
        var several = ByteBuffer()
        for text in texts {
            var frame = primary.frame(ByteBuffer(string: text))
            several.writeBuffer(&frame)
        }
        follower.append(several)
        for text in texts { #expect(try self.text(&follower) == text) }
    }

    @Test("A frame of which one bit was flipped does not open")
    func flippedBits() throws {
        var (follower, primary) = pair()
        let frame = follower.frame(ByteBuffer(string: "secret"))
        for index in 4..<frame.readableBytes {
            var changed = frame
            let byte: UInt8 = changed.getInteger(at: index) ?? 0
            changed.setInteger(byte ^ 1, at: index)
            var receiver = primary
            receiver.append(changed)
            #expect(throws: MirrorProtocolError.self) { try receiver.next() }
        }
        primary.append(frame)
        #expect(try text(&primary) == "secret")
    }

    @Test("A frame that is repeated, left out, or comes before its time does not open")
    func order() throws {
        var (follower, primary) = pair()
        let first = follower.frame(ByteBuffer(string: "1"))
        let second = follower.frame(ByteBuffer(string: "2"))
        var early = primary
        early.append(second)
        #expect(throws: MirrorProtocolError.self) { try early.next() }
        primary.append(first)
        #expect(try text(&primary) == "1")
        var again = primary
        again.append(first)
        #expect(throws: MirrorProtocolError.self) { try again.next() }
        primary.append(second)
        #expect(try text(&primary) == "2")
    }

    @Test("A frame that comes back to its sender does not open")
    func reflection() {
        var (follower, _) = pair()
        let frame = follower.frame(ByteBuffer(string: "1"))
        follower.append(frame)
        #expect(throws: MirrorProtocolError.self) { try follower.next() }
    }

    @Test("A frame under another key, or of another connection, does not open")
    func otherKey() {
        let other = SymmetricKey(data: [UInt8](repeating: 9, count: 32))
        var (follower, primary) = pair(keys: (key, other))
        primary.append(follower.frame(ByteBuffer(string: "1")))
        #expect(throws: MirrorProtocolError.self) { try primary.next() }

        var stranger = MirrorFraming(longestFrame: Self.longest)
        stranger.seal(with: key, followerNonce: two, primaryNonce: two, isFollower: true)
        var (_, known) = pair()
        known.append(stranger.frame(ByteBuffer(string: "1")))
        #expect(throws: MirrorProtocolError.self) { try known.next() }
    }

    @Test("A frame too short to be sealed does not open")
    func tooShort() {
        for length in 0..<16 {
            var (_, primary) = pair()
            var frame = ByteBuffer()
            frame.writeInteger(UInt32(length))
            frame.writeRepeatingByte(0, count: length)
            primary.append(frame)
            #expect(throws: MirrorProtocolError.self) { try primary.next() }
        }
    }

    @Test("A frame that says it is too long is refused at its length, before it has come")
    func tooLong() throws {
        for (limit, isTrusted) in [(MirrorGreeting.length, false), (Self.longest, true)] {
            var framing = MirrorFraming(longestFrame: Self.longest)
            if isTrusted { framing.trust() }
            var fits = framing
            var length = ByteBuffer()
            length.writeInteger(UInt32(limit))
            fits.append(length)
            #expect(try fits.next() == nil)
            length.clear()
            length.writeInteger(UInt32(limit + 1))
            framing.append(length)
            #expect(throws: MirrorProtocolError.self) { try framing.next() }
        }
    }

    @Test("A greeting is read as it was written, fits the limit, and differs each time")
    func greeting() throws {
        for hasKey in [true, false] {
            let greeting = MirrorGreeting(hasKey: hasKey)
            var bytes = ByteBuffer()
            greeting.write(to: &bytes)
            #expect(bytes.readableBytes <= MirrorGreeting.length)
            #expect(MirrorGreeting(hasKey: hasKey).nonce != greeting.nonce)
            for length in 0..<bytes.readableBytes {
                var cut = try #require(bytes.getSlice(at: 0, length: length))
                #expect(MirrorGreeting(from: &cut) == nil)
            }
            #expect(MirrorGreeting(from: &bytes) == greeting)
        }
        var other = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: here.example.org\r\nAccept: */*")
        #expect(MirrorGreeting(from: &other) == nil)
    }

    @Test("Bytes that were changed open or are refused, and never trap", arguments: 1...2)
    func mutations(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var (follower, primary) = pair()
        let frame = Array(follower.frame(ByteBuffer(string: "something")).readableBytesView)
        for _ in 0..<3_000 {
            let mutated = generator.mutated(frame)
            guard mutated != frame, !mutated.starts(with: frame) else { continue }
            primary.append(ByteBuffer())
            var receiver = primary
            receiver.append(ByteBuffer(bytes: mutated))
            #expect((try? receiver.next()) == nil, "seed \(seed)")
        }
    }
}
