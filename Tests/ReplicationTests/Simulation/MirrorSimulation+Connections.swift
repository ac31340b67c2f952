import NIOCore
import ResultCache

@testable import Replication

// What `FollowerHandler` and `PrimaryHandler` do between two nodes, without their channels.
extension MirrorSimulation {
    func connect(_ node: SimulatedNode) {
        guard node.upstream == nil, !node.isLeading else { return }
        if case .ended = node.takeOver { return }
        let source = nodes[below(nodes.count)]
        guard source !== node, source.isReady, let key = source.real.cells.hashKey else { return }
        let connection = SimulatedConnection(
            source: source, mirror: node, number: UInt64(number()))
        source.followers.append(connection)
        node.upstream = connection
        node.real.applier.connected(hashKey: key.withUnsafeBytes(Array.init))
    }

    /// The node sends a follower what there is.
    func pump(_ node: SimulatedNode, _ now: UInt64) {
        guard !node.followers.isEmpty else { return }
        let connection = node.followers[below(node.followers.count)]
        // What there was to mirror is gone, or the log is another one now.
        guard node.isReady else { return connection.end() }
        let gaps = connection.stream.gaps
        if connection.down.count < 4, let payload = connection.stream.next(now: now) {
            connection.down.append(payload)
        }
        counters.gaps += Int(connection.stream.gaps - gaps)
        if connection.stream.isOver { connection.end() }
    }

    /// The node applies what it was sent.
    func hear(_ node: SimulatedNode, _ now: UInt64) {
        guard let connection = node.upstream else { return }
        if oneIn(3) { acknowledge(connection, now) }
        guard !connection.down.isEmpty else { return }
        var payload = connection.down.removeFirst()
        let applier = node.real.applier
        do {
            var hasBegun = false
            let before = applier.position
            while let message = try MirrorMessage.next(in: &payload) {
                if case .begin = message { hasBegun = true }
                try applier.apply(message, now: now)
                if hasBegun { ask(node, now) }
            }
            guard applier.position != before || hasBegun else { return }
            connection.unacknowledged.append(applier.position)
        } catch {
            preconditionFailure("\(error)")
        }
        acknowledge(connection, now)
    }

    private func acknowledge(_ connection: SimulatedConnection, _ now: UInt64) {
        let followers = connection.mirror.real.log.followers
        while let first = connection.unacknowledged.first,
            followers.isKnown(first.index, now: now)
        {
            connection.unacknowledged.removeFirst()
            send(.acknowledge(first), up: connection)
        }
    }

    private func send(_ message: MirrorMessage, up connection: SimulatedConnection) {
        var payload = ByteBuffer()
        message.write(to: &payload)
        connection.up.append(payload)
    }

    /// The node asks for a proof.
    func ask(_ node: SimulatedNode, _ now: UInt64) {
        guard let connection = node.upstream,
            let question = node.real.applier.question(now: now)
        else { return }
        send(
            .heartbeat(question, answered: node.real.applier.lastAnswered), up: connection)
    }

    /// The node takes what a follower has sent.
    func hearFollower(_ node: SimulatedNode, _ now: UInt64) {
        guard !node.followers.isEmpty else { return }
        let connection = node.followers[below(node.followers.count)]
        guard !connection.up.isEmpty else { return }
        var payload = connection.up.removeFirst()
        let followers = node.real.log.followers
        switch try? MirrorMessage.next(in: &payload) {
        case .heartbeat(let question, _):
            connection.stream.asked(question, now: now, lease: followers.lease) {
                followers.grant(
                    connection.number, acknowledged: connection.acknowledged, now: now)
            }
        case .acknowledge(let position):
            guard position.epoch == connection.stream.position.epoch else { return }
            connection.acknowledged = position.index
            followers.acknowledged(connection.number, position.index, now: now)
        default: preconditionFailure("a mirror says only that")
        }
    }
}
