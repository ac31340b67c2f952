import Crypto
import Logging
import NIOCore
import NIOEmbedded
import ResultCache
import Synchronization
import Testing

@testable import Replication

/// Set from any thread.
final class SetOnce: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .sequentiallyConsistent) }
    func set() { flag.store(true, ordering: .sequentiallyConsistent) }
}

/// What handlers under test are made with.
enum HandlerHarness {
    static let lease: UInt64 = 60_000_000_000

    static func settings(
        isSynchronous: Bool = true, lease: UInt64 = lease, key: SymmetricKey? = nil
    ) -> ReplicationSettings {
        ReplicationSettings(
            isSynchronous: isSynchronous, lease: lease, key: key, tls: nil, maximumEntry: 1 << 16,
            clientHost: "", clientPort: 6432)
    }

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// The other side of a handler's channel: says what a test wants, and reads what comes.
final class ScriptedPeer {
    let channel = EmbeddedChannel()
    private var framing = MirrorFraming(longestFrame: 1 << 20)
    private let greeting: MirrorGreeting
    private let key: SymmetricKey?

    init(_ handler: any ChannelHandler, key: SymmetricKey? = nil, isActive: Bool = false) throws {
        self.key = key
        greeting = MirrorGreeting(hasKey: key != nil)
        framing.trust()
        try channel.pipeline.syncOperations.addHandler(handler)
        channel.closeFuture.whenComplete { [closed] _ in closed.set() }
        if isActive {
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }
    }

    /// Whether the handler has not closed the channel.
    var isOpen: Bool {
        channel.embeddedEventLoop.run()
        return !closed.isSet
    }
    private let closed = SetOnce()

    func sendRaw(_ bytes: ByteBuffer) throws {
        try channel.writeInbound(bytes)
        channel.embeddedEventLoop.run()
    }

    func sendGreeting(version: UInt16 = MirrorFraming.version, hasKey: Bool? = nil) throws {
        var mine = greeting
        mine.version = version
        if let hasKey { mine.hasKey = hasKey }
        var payload = ByteBuffer()
        mine.write(to: &payload)
        try sendRaw(framing.frame(payload))
    }

    /// The other side's greeting; both have a key from here on, if there is one.
    func readGreeting(isFollower: Bool) throws -> MirrorGreeting {
        var payload = try #require(try readPayload())
        let theirs = try #require(MirrorGreeting(from: &payload))
        if let key {
            framing.seal(
                with: key, followerNonce: isFollower ? greeting.nonce : theirs.nonce,
                primaryNonce: isFollower ? theirs.nonce : greeting.nonce, isFollower: isFollower)
        }
        return theirs
    }

    func send(_ messages: MirrorMessage...) throws {
        try sendRaw(framing.frame(MirrorMessageTests.bytes(messages)))
    }

    private func readPayload() throws -> ByteBuffer? {
        channel.embeddedEventLoop.run()
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { framing.append(bytes) }
        return try framing.next()
    }

    /// All that has come meanwhile.
    func read() throws -> [MirrorMessage] {
        var messages: [MirrorMessage] = []
        while var payload = try readPayload() {
            while let message = try MirrorMessage.next(in: &payload) { messages.append(message) }
        }
        return messages
    }
}
