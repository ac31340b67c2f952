import NIOCore
import ResultCache
import Testing

@testable import Replication

/// One node that follows another, without sockets: what the stream gives the applier takes.
final class JoinedMirror {
    let source: MirroredNode
    let mirror: MirroredNode
    var stream: MirrorStream
    private(set) var answers = 0

    init(_ source: MirroredNode, _ mirror: MirroredNode) throws {
        self.source = source
        self.mirror = mirror
        stream = MirrorStream(source.source, maximumEntry: .max) {}
        let key = try #require(source.cells.hashKey)
        mirror.applier.connected(hashKey: key.withUnsafeBytes(Array.init))
    }

    deinit { stream.end() }

    /// One frame's messages; nil where there is nothing to send.
    func next(now: UInt64 = 1) throws -> [MirrorMessage]? {
        guard var payload = stream.next(now: now) else { return nil }
        var messages: [MirrorMessage] = []
        while let message = try MirrorMessage.next(in: &payload) {
            if case .answer = message { answers += 1 }
            messages.append(message)
        }
        return messages
    }

    /// Everything there is to send is applied.
    @discardableResult
    func catchUp(now: UInt64 = 1) throws -> [MirrorMessage] {
        var all: [MirrorMessage] = []
        while let messages = try next(now: now) {
            for message in messages { try mirror.applier.apply(message, now: now) }
            all += messages
        }
        return all
    }

    /// Asks for a proof and, where it is given, applies it. `now` is of the answer's coming.
    func prove(askedAt: UInt64, heardAt: UInt64? = nil, now: UInt64? = nil) throws {
        let question = try #require(mirror.applier.question(now: askedAt))
        stream.asked(question, now: heardAt ?? askedAt, lease: source.log.followers.lease) {}
        try catchUp(now: now ?? heardAt ?? askedAt)
    }
}
