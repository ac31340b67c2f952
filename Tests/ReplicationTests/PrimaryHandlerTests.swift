import Crypto
import NIOCore
import NIOEmbedded
import ResultCache
import Testing

@testable import Replication

@Suite("The side that follows")
struct PrimaryHandlerTests {
    private let mirror = MirroredNode(isSynchronous: true, lease: HandlerHarness.lease / 2)
    private let welcomed = SetOnce()

    private func handler(key: SymmetricKey? = nil) -> PrimaryHandler {
        PrimaryHandler(
            settings: HandlerHarness.settings(key: key), node: NodeID(high: 2, low: 2),
            applier: mirror.applier, followers: mirror.log.followers, figures: FollowerFigures(),
            logger: HandlerHarness.quiet
        ) { [welcomed] _ in welcomed.set() }
    }

    private let welcome = MirrorMessage.welcome(
        MirrorWelcome(
            node: NodeID(high: 1, low: 1), hashKey: [UInt8](repeating: 7, count: 32),
            clientHost: "", clientPort: 1))

    /// A peer whose greeting the handler has taken.
    private func introduced(
        _ handler: PrimaryHandler, key: SymmetricKey? = nil
    ) throws -> ScriptedPeer {
        let peer = try ScriptedPeer(handler, key: key, isActive: true)
        try peer.sendGreeting()
        _ = try peer.readGreeting(isFollower: false)
        return peer
    }

    private func following(_ handler: PrimaryHandler) throws -> ScriptedPeer {
        let peer = try introduced(handler)
        try peer.send(welcome)
        return peer
    }

    private func acknowledged(_ messages: [MirrorMessage]) -> [UInt64] {
        messages.compactMap {
            if case .acknowledge(let position) = $0 { position.index } else { nil }
        }
    }

    private func begin(_ index: UInt64) -> MirrorMessage {
        .begin(MirrorLog.Position(epoch: 5, index: index), open: [])
    }

    @Test("It introduces itself, asks for a proof at once and then again and again")
    func introduction() throws {
        let peer = try introduced(handler())
        guard case .follow(let terms)? = try peer.read().first else {
            Issue.record("no terms")
            return
        }
        #expect(terms.node == NodeID(high: 2, low: 2))
        #expect(terms.isSynchronous && terms.lease == HandlerHarness.lease)
        try peer.send(welcome)
        #expect(welcomed.isSet)
        #expect(try peer.read().count { if case .heartbeat = $0 { true } else { false } } == 1)
        let interval = HandlerHarness.settings().heartbeatInterval
        peer.channel.embeddedEventLoop.advanceTime(by: .nanoseconds(Int64(interval)))
        #expect(try peer.read().count { if case .heartbeat = $0 { true } else { false } } == 1)
    }

    @Test("It gives up who is no Mynah, of another version, without the key, or silent")
    func strangers() throws {
        let key = SymmetricKey(size: .bits256)
        let garbage = try ScriptedPeer(handler(), isActive: true)
        try garbage.sendRaw(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n"))
        #expect(!garbage.isOpen)
        let old = try ScriptedPeer(handler(), isActive: true)
        try old.sendGreeting(version: 2)
        #expect(!old.isOpen)
        let keyless = try ScriptedPeer(handler(key: key), isActive: true)
        try keyless.sendGreeting(hasKey: false)
        #expect(!keyless.isOpen)
        let silentHandler = handler()
        let silent = try ScriptedPeer(silentHandler, isActive: true)
        silent.channel.embeddedEventLoop.advanceTime(by: FollowerHandler.introductionTime)
        #expect(!silent.isOpen)
        #expect(silentHandler.reason != nil)
    }

    @Test("A refusal is the reason for the operator", arguments: MirrorRefusal.allCases)
    func refusals(refusal: MirrorRefusal) throws {
        let handler = handler()
        let peer = try introduced(handler)
        try peer.send(.refusal(refusal))
        #expect(!peer.isOpen)
        #expect(handler.reason == refusal.description)
        #expect(!welcomed.isSet)
    }

    @Test("Messages out of turn, and bytes that make no sense, end the connection")
    func outOfTurn() throws {
        let early = try introduced(handler())
        try early.send(begin(1))
        #expect(!early.isOpen)
        let record = try following(handler())
        try record.send(.nothing)
        #expect(!record.isOpen)
        let again = try following(handler())
        try again.send(welcome)
        #expect(!again.isOpen)
        let garbage = try following(handler())
        var frame = ByteBuffer()
        frame.writeInteger(UInt32(3))
        frame.writeRepeatingByte(0xFF, count: 3)
        try garbage.sendRaw(frame)
        #expect(!garbage.isOpen)
        #expect(mirror.right.deadline == 0)
    }

    @Test("What was applied is acknowledged")
    func acknowledges() throws {
        let peer = try following(handler())
        try peer.send(begin(10))
        try peer.send(.opened(window: 1, cells: []), .nothing)
        #expect(acknowledged(try peer.read()) == [10, 12])
        try peer.send(.entriesEnd)
        #expect(acknowledged(try peer.read()).isEmpty)
    }

    @Test("A beginning is acknowledged although it is where the last connection had come to")
    func acknowledgesBeginningAnew() throws {
        let first = try following(handler())
        try first.send(begin(10))
        _ = try first.channel.finish()
        // The primary does not know what was acknowledged over the first, and commits wait for it.
        let second = try following(handler())
        try second.send(begin(10))
        #expect(acknowledged(try second.read()) == [10])
    }

    @Test("A node in the middle acknowledges when its own followers know")
    func middle() throws {
        let peer = try following(handler())
        try peer.send(begin(10))
        _ = try peer.read()
        let now = NIODeadline.now().uptimeNanoseconds
        mirror.log.followers.grant(3, acknowledged: 10, now: now)
        try peer.send(.nothing)
        #expect(acknowledged(try peer.read()).isEmpty)
        mirror.log.followers.acknowledged(3, 11, now: now)
        #expect(acknowledged(try peer.read()) == [11])
    }

    @Test("A proof gives the right to answer")
    func proof() throws {
        let peer = try following(handler())
        try peer.send(begin(1))
        let questions = try peer.read().compactMap { message in
            if case .heartbeat(let number, _) = message { number } else { nil }
        }
        let question = try #require(questions.last)
        #expect(mirror.right.deadline == 0)
        try peer.send(.answer(question, age: 0))
        #expect(mirror.right.deadline > NIODeadline.now().uptimeNanoseconds)
    }
}
