import Crypto
import NIOCore
import NIOEmbedded
import ResultCache
import Testing

@testable import Replication

@Suite("The side that is followed")
struct FollowerHandlerTests {
    private let node = NodeID(high: 1, low: 1)
    private let figures = PublisherFigures()
    private let source = MirroredNode(
        isSynchronous: true, lease: HandlerHarness.lease / 2, epoch: 5)
    private let key = SymmetricKey(data: [UInt8](repeating: 4, count: 32))

    private func handler(
        key: SymmetricKey? = nil, isReady: Bool = true
    ) -> FollowerHandler {
        FollowerHandler(
            settings: HandlerHarness.settings(key: key), node: node, source: source.source,
            number: 1, figures: figures, logger: HandlerHarness.quiet, isReady: { isReady },
            client: { ("leader", 5432) })
    }

    private func terms(
        node: NodeID = NodeID(high: 2, low: 2), isSynchronous: Bool = true,
        lease: UInt64 = HandlerHarness.lease
    ) -> MirrorMessage {
        .follow(MirrorTerms(node: node, isSynchronous: isSynchronous, lease: lease, maximumEntry: 1 << 16))
    }

    private func following(key: SymmetricKey? = nil) throws -> ScriptedPeer {
        let peer = try ScriptedPeer(handler(key: key), key: key)
        try peer.sendGreeting()
        _ = try peer.readGreeting(isFollower: true)
        try peer.send(terms())
        return peer
    }

    @Test(
        "A follower is welcomed and told everything, with a key and without",
        arguments: [true, false])
    func welcome(hasKey: Bool) throws {
        source.fill("r", "1")
        let peer = try following(key: hasKey ? key : nil)
        let messages = try peer.read()
        guard case .welcome(let welcome)? = messages.first else {
            Issue.record("no welcome")
            return
        }
        #expect(welcome.node == node)
        #expect(welcome.clientHost == "leader" && welcome.clientPort == 5432)
        #expect(welcome.hashKey == source.cells.hashKey?.withUnsafeBytes(Array.init))
        #expect(messages.contains { if case .begin = $0 { true } else { false } })
        #expect(messages.contains { if case .entry = $0 { true } else { false } })
        #expect(figures.followers.load(ordering: .relaxed) == 1)
        _ = try peer.channel.finish()
        #expect(figures.followers.load(ordering: .relaxed) == 0)
    }

    @Test("Who does not speak the protocol, or another version, or has no key, is sent away")
    func strangers() throws {
        let garbage = try ScriptedPeer(handler())
        try garbage.sendRaw(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
        #expect(!garbage.isOpen)
        let wrong = try ScriptedPeer(handler())
        var frame = ByteBuffer()
        frame.writeInteger(UInt32(10))
        frame.writeRepeatingByte(1, count: 10)
        try wrong.sendRaw(frame)
        #expect(!wrong.isOpen)
        let old = try ScriptedPeer(handler())
        try old.sendGreeting(version: 99)
        #expect(!old.isOpen)
        let keyless = try ScriptedPeer(handler(key: key))
        try keyless.sendGreeting(hasKey: false)
        #expect(!keyless.isOpen)
        let keyed = try ScriptedPeer(handler())
        try keyed.sendGreeting(hasKey: true)
        #expect(!keyed.isOpen)
        #expect(figures.refused.load(ordering: .relaxed) == 5)
    }

    @Test("Who has another key is sent away without a word")
    func wrongKey() throws {
        let peer = try ScriptedPeer(
            handler(key: key), key: SymmetricKey(data: [UInt8](repeating: 5, count: 32)))
        try peer.sendGreeting()
        _ = try peer.readGreeting(isFollower: true)
        try peer.send(terms())
        #expect(try peer.read().isEmpty)
        #expect(!peer.isOpen)
    }

    @Test("Who does not introduce itself is sent away in time")
    func silence() throws {
        let peer = try ScriptedPeer(handler())
        peer.channel.embeddedEventLoop.advanceTime(by: FollowerHandler.introductionTime)
        #expect(!peer.isOpen)
        let following = try following()
        following.channel.embeddedEventLoop.advanceTime(by: FollowerHandler.introductionTime * 2)
        #expect(following.isOpen)
    }

    @Test("Who cannot follow is told why", arguments: MirrorRefusal.allCases)
    func refusals(refusal: MirrorRefusal) throws {
        if refusal == .tooManyFollowers {
            figures.followers.add(MirrorPublisher.maximumFollowers, ordering: .relaxed)
        }
        let peer = try ScriptedPeer(handler(isReady: refusal != .nothingToMirror))
        try peer.sendGreeting()
        _ = try peer.readGreeting(isFollower: true)
        switch refusal {
        case .itself: try peer.send(terms(node: node))
        case .otherMode: try peer.send(terms(isSynchronous: false))
        case .otherLease: try peer.send(terms(lease: 1))
        case .tooManyFollowers, .nothingToMirror: try peer.send(terms())
        }
        guard case .refusal(let told)? = try peer.read().first else {
            Issue.record("not told")
            return
        }
        #expect(told == refusal)
        #expect(!peer.isOpen)
    }

    @Test("Messages that a follower has no business to send end the connection")
    func outOfTurn() throws {
        for message in try MirrorMessageTests.samples() {
            switch message {
            case .heartbeat, .acknowledge, .handOver: continue
            default:
                let peer = try following()
                try peer.send(message)
                #expect(!peer.isOpen, "\(message)")
            }
        }
        let early = try ScriptedPeer(handler())
        try early.sendGreeting()
        _ = try early.readGreeting(isFollower: true)
        try early.send(.heartbeat(1, answered: 0))
        #expect(!early.isOpen)
    }

    @Test("What was not sent cannot be acknowledged")
    func acknowledgesTheFuture() throws {
        let peer = try following()
        let position = source.log.position
        try peer.send(.acknowledge(position))
        #expect(peer.isOpen)
        try peer.send(.acknowledge(.init(epoch: position.epoch, index: position.index + 1)))
        #expect(!peer.isOpen)
    }

    @Test("A commit waits for the acknowledgement of this epoch, not for that of another")
    func acknowledgements() throws {
        let peer = try following()
        _ = try peer.read()
        try peer.send(.heartbeat(1, answered: 0))
        let window = try #require(source.open("r"))
        let known = SetOnce()
        source.log.followers.whenKnown(
            window.logIndex, now: NIODeadline.now().uptimeNanoseconds
        ) { known.set() }
        #expect(try peer.read().contains { if case .opened = $0 { true } else { false } })
        try peer.send(.acknowledge(.init(epoch: 4, index: window.logIndex)))
        #expect(!known.isSet)
        #expect(peer.isOpen)
        try peer.send(.acknowledge(.init(epoch: 5, index: window.logIndex)))
        #expect(known.isSet)
        source.close(window)
    }

    @Test("A node that begins a new log sends its followers away")
    func newLog() throws {
        let peer = try following()
        source.log.lead(epoch: 6)
        #expect(!peer.isOpen)
    }
}
