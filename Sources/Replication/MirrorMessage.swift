import NIOCore
import ResultCache

/// What two nodes say to each other on the mirror port, once they have introduced themselves.
///
/// Several messages make a frame (`MirrorFraming`). Each is its tag (1 byte), its length (4) and its
/// body; integers are in network byte order. Records (`opened`, `closed`, `stored`) have no numbers:
/// each counts one from where `begin` has said.
enum MirrorMessage {
    // From the follower.

    /// Who wants to follow, and what it takes for agreed.
    case follow(MirrorTerms)
    /// The follower asks for a proof that it has heard everything up to now; the last question that
    /// was answered.
    case heartbeat(UInt64, answered: UInt64)
    /// The follower has applied every record up to this one.
    case acknowledge(MirrorLog.Position)
    /// The follower is to lead.
    case handOver

    // From an operator's command, in place of `follow`; and its answer, empty where it was done.

    case promote
    case promoted(String)

    // From the node that is followed.

    case welcome(MirrorWelcome)
    /// Forget everything: records behind this number are next, with these windows open.
    case begin(MirrorLog.Position, open: [(window: UInt64, cells: [CellReference])])
    /// Cells with names, from the given number on.
    case cells(from: UInt32, [CellName])
    case identity(UInt64, SessionIdentityTable.Components)
    case opened(window: UInt64, cells: [CellReference])
    case closed(window: UInt64, committed: Bool)
    /// A record that says nothing.
    case nothing
    case stored(ReplyRecord)
    /// What has been in the cache since before `begin`: no record.
    case entry(ReplyRecord)
    /// There are no more of these.
    case entriesEnd
    /// Everything up to the question's arrival is above, as of `age` nanoseconds before that.
    case answer(UInt64, age: UInt64)
    case refusal(MirrorRefusal)
}

/// What two nodes have to have in common.
struct MirrorTerms: Hashable, Sendable {
    var node: NodeID
    var isSynchronous: Bool
    /// Nanoseconds.
    var lease: UInt64
    /// Bytes of the largest reply that the follower keeps: larger ones are not sent. Need not be the
    /// same.
    var maximumEntry: UInt64
}

/// What a follower is told first.
struct MirrorWelcome: Hashable, Sendable {
    var node: NodeID
    /// Where the places of keyed values come from.
    var hashKey: [UInt8]
    /// Where the node that leads listens for clients; empty: the host that the follower connected to.
    var clientHost: String
    var clientPort: UInt16

    static let hashKeyLength = 32
}

/// Tells one process from all others.
struct NodeID: Hashable, Sendable {
    var high: UInt64
    var low: UInt64

    static func random() -> NodeID {
        NodeID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }
}

/// Why a follower is sent away.
enum MirrorRefusal: UInt8, CaseIterable, Error {
    case tooManyFollowers = 1
    case nothingToMirror
    case otherMode
    case otherLease
    case itself
}

extension MirrorRefusal: CustomStringConvertible {
    /// For the follower's operator.
    var description: String {
        switch self {
        case .tooManyFollowers: "it has as many followers as it takes"
        case .nothingToMirror:
            "it does not lead, and has nothing to mirror yet "
                + "(where two nodes follow each other without failover, one of them must not)"
        case .otherMode: "its replication.mode is another one: all nodes need the same"
        case .otherLease: "its replication.lease is another one: all nodes need the same"
        case .itself: "it is this node itself"
        }
    }
}

/// The peer has said something that makes no sense.
struct MirrorProtocolError: Error, CustomStringConvertible {
    let description: String
}

// MARK: - Bytes

extension MirrorMessage {
    private enum Tag {
        static let follow = UInt8(ascii: "F")
        static let heartbeat = UInt8(ascii: "h")
        static let acknowledge = UInt8(ascii: "k")
        static let handOver = UInt8(ascii: "H")
        static let promote = UInt8(ascii: "P")
        static let promoted = UInt8(ascii: "p")
        static let welcome = UInt8(ascii: "W")
        static let begin = UInt8(ascii: "B")
        static let cells = UInt8(ascii: "D")
        static let identity = UInt8(ascii: "I")
        static let opened = UInt8(ascii: "o")
        static let closed = UInt8(ascii: "c")
        static let nothing = UInt8(ascii: "n")
        static let stored = UInt8(ascii: "s")
        static let entry = UInt8(ascii: "e")
        static let entriesEnd = UInt8(ascii: "E")
        static let answer = UInt8(ascii: "a")
        static let refusal = UInt8(ascii: "R")
    }

    func write(to buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        buffer.writeInteger(tag)
        buffer.writeInteger(UInt32(0))
        writeBody(to: &buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - start - 5), at: start + 1)
    }

    private var tag: UInt8 {
        switch self {
        case .follow: Tag.follow
        case .heartbeat: Tag.heartbeat
        case .acknowledge: Tag.acknowledge
        case .handOver: Tag.handOver
        case .promote: Tag.promote
        case .promoted: Tag.promoted
        case .welcome: Tag.welcome
        case .begin: Tag.begin
        case .cells: Tag.cells
        case .identity: Tag.identity
        case .opened: Tag.opened
        case .closed: Tag.closed
        case .nothing: Tag.nothing
        case .stored: Tag.stored
        case .entry: Tag.entry
        case .entriesEnd: Tag.entriesEnd
        case .answer: Tag.answer
        case .refusal: Tag.refusal
        }
    }

    private func writeBody(to buffer: inout ByteBuffer) {
        switch self {
        case .follow(let terms):
            buffer.writeNode(terms.node)
            buffer.writeInteger(terms.isSynchronous ? UInt8(1) : 0)
            buffer.writeInteger(terms.lease)
            buffer.writeInteger(terms.maximumEntry)
        case .heartbeat(let number, let answered):
            buffer.writeInteger(number)
            buffer.writeInteger(answered)
        case .acknowledge(let position):
            buffer.writeInteger(position.epoch)
            buffer.writeInteger(position.index)
        case .welcome(let welcome):
            buffer.writeNode(welcome.node)
            buffer.writeBytes(welcome.hashKey)
            buffer.writeCounted(welcome.clientHost)
            buffer.writeInteger(welcome.clientPort)
        case .begin(let position, let open):
            buffer.writeInteger(position.epoch)
            buffer.writeInteger(position.index)
            buffer.writeInteger(UInt32(open.count))
            for (window, cells) in open {
                buffer.writeInteger(window)
                buffer.writeReferences(cells)
            }
        case .cells(let first, let names):
            buffer.writeInteger(first)
            buffer.writeInteger(UInt32(names.count))
            for name in names { name.write(to: &buffer) }
        case .identity(let number, let components):
            buffer.writeInteger(number)
            components.write(to: &buffer)
        case .opened(let window, let cells):
            buffer.writeInteger(window)
            buffer.writeReferences(cells)
        case .closed(let window, let committed):
            buffer.writeInteger(window)
            buffer.writeInteger(committed ? UInt8(1) : 0)
        case .nothing, .entriesEnd, .handOver, .promote: break
        case .promoted(let reason): buffer.writeCounted(reason)
        case .stored(let record), .entry(let record): record.write(to: &buffer)
        case .answer(let number, let age):
            buffer.writeInteger(number)
            buffer.writeInteger(age)
        case .refusal(let refusal): buffer.writeInteger(refusal.rawValue)
        }
    }

    /// Takes the next message out of a frame's payload; nil at its end.
    static func next(in payload: inout ByteBuffer) throws(MirrorProtocolError) -> MirrorMessage? {
        guard payload.readableBytes > 0 else { return nil }
        guard let tag = payload.readInteger(as: UInt8.self),
            let length = payload.readInteger(as: UInt32.self),
            var body = payload.readSlice(length: Int(length)),
            let message = message(tag, &body), body.readableBytes == 0
        else { throw MirrorProtocolError(description: "a message that makes no sense") }
        return message
    }

    private static func message(_ tag: UInt8, _ body: inout ByteBuffer) -> MirrorMessage? {
        switch tag {
        case Tag.follow:
            guard let node = body.readNode(), let mode = body.readInteger(as: UInt8.self),
                let lease = body.readInteger(as: UInt64.self),
                let entry = body.readInteger(as: UInt64.self)
            else { return nil }
            return .follow(
                MirrorTerms(
                    node: node, isSynchronous: mode == 1, lease: lease, maximumEntry: entry))
        case Tag.heartbeat:
            guard let number = body.readInteger(as: UInt64.self),
                let answered = body.readInteger(as: UInt64.self)
            else { return nil }
            return .heartbeat(number, answered: answered)
        case Tag.acknowledge:
            guard let epoch = body.readInteger(as: UInt64.self),
                let index = body.readInteger(as: UInt64.self)
            else { return nil }
            return .acknowledge(MirrorLog.Position(epoch: epoch, index: index))
        case Tag.welcome:
            guard let node = body.readNode(),
                let key = body.readBytes(length: MirrorWelcome.hashKeyLength),
                let host = body.readCounted(), let port = body.readInteger(as: UInt16.self)
            else { return nil }
            return .welcome(
                MirrorWelcome(node: node, hashKey: key, clientHost: host, clientPort: port))
        case Tag.begin: return begin(&body)
        case Tag.cells:
            guard let first = body.readInteger(as: UInt32.self),
                let count = body.readInteger(as: UInt32.self)
            else { return nil }
            var names: [CellName] = []
            for _ in 0..<count {
                guard let name = CellName(from: &body) else { return nil }
                names.append(name)
            }
            return .cells(from: first, names)
        case Tag.identity:
            guard let number = body.readInteger(as: UInt64.self),
                let components = SessionIdentityTable.Components(from: &body)
            else { return nil }
            return .identity(number, components)
        case Tag.opened:
            guard let window = body.readInteger(as: UInt64.self), let cells = body.readReferences()
            else { return nil }
            return .opened(window: window, cells: cells)
        case Tag.closed:
            guard let window = body.readInteger(as: UInt64.self),
                let committed = body.readInteger(as: UInt8.self)
            else { return nil }
            return .closed(window: window, committed: committed != 0)
        case Tag.nothing: return .nothing
        case Tag.handOver: return .handOver
        case Tag.promote: return .promote
        case Tag.promoted: return body.readCounted().map(MirrorMessage.promoted)
        case Tag.stored: return ReplyRecord(from: &body).map(MirrorMessage.stored)
        case Tag.entry: return ReplyRecord(from: &body).map(MirrorMessage.entry)
        case Tag.entriesEnd: return .entriesEnd
        case Tag.answer:
            guard let number = body.readInteger(as: UInt64.self),
                let age = body.readInteger(as: UInt64.self)
            else { return nil }
            return .answer(number, age: age)
        case Tag.refusal:
            return body.readInteger(as: UInt8.self).flatMap(MirrorRefusal.init)
                .map(MirrorMessage.refusal)
        default: return nil
        }
    }

    private static func begin(_ body: inout ByteBuffer) -> MirrorMessage? {
        guard let epoch = body.readInteger(as: UInt64.self),
            let index = body.readInteger(as: UInt64.self),
            let count = body.readInteger(as: UInt32.self)
        else { return nil }
        var open: [(window: UInt64, cells: [CellReference])] = []
        for _ in 0..<count {
            guard let window = body.readInteger(as: UInt64.self), let cells = body.readReferences()
            else { return nil }
            open.append((window, cells))
        }
        return .begin(MirrorLog.Position(epoch: epoch, index: index), open: open)
    }
}

extension ByteBuffer {
    fileprivate mutating func writeNode(_ node: NodeID) {
        writeInteger(node.high)
        writeInteger(node.low)
    }

    fileprivate mutating func readNode() -> NodeID? {
        guard let high = readInteger(as: UInt64.self), let low = readInteger(as: UInt64.self)
        else { return nil }
        return NodeID(high: high, low: low)
    }

    fileprivate mutating func writeReferences(_ cells: [CellReference]) {
        writeInteger(UInt32(cells.count))
        for cell in cells { writeInteger(cell.rawValue) }
    }

    fileprivate mutating func readReferences() -> [CellReference]? {
        guard let count = readInteger(as: UInt32.self), Int(count) * 4 <= readableBytes else {
            return nil
        }
        var cells: [CellReference] = []
        cells.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let raw = readInteger(as: UInt32.self) else { return nil }
            cells.append(CellReference(rawValue: raw))
        }
        return cells
    }
}
