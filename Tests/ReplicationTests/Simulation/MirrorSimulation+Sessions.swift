import NIOCore
import ResultCache

@testable import Replication

// What sessions do: reads from memory on every node, misses and writes on one that leads.
extension MirrorSimulation {
    private func name(_ relation: Int) -> String { "r\(relation)" }

    // MARK: Writes

    func startWrite(_ node: SimulatedNode) {
        guard node.isLeading, node.writers.count < 3 else { return }
        let relation = below(SimulatedDatabase.relations)
        guard let window = node.real.open(name(relation)) else { return }
        node.writers.append(.init(number: number(), relation: relation, window: window))
    }

    func goOnWriting(_ node: SimulatedNode, _ now: UInt64) {
        guard !node.writers.isEmpty else { return }
        let index = below(node.writers.count)
        let writer = node.writers[index]
        switch writer.state {
        case .opened:
            guard node.real.log.followers.isKnown(writer.window.logIndex, now: now) else {
                counters.waits += 1
                return
            }
            guard node.real.right.mayWrite(now: now) else {
                counters.withheld += 1
                return
            }
            database.send(
                .init(number: writer.number, process: node.process, relation: writer.relation))
            node.writers[index].state = .sent
        case .sent:
            guard !database.isOpen(writer.number) else { return }
            let visibleAt = database.done[writer.number]
            node.writers.remove(at: index)
            node.real.close(writer.window, committed: visibleAt != nil)
            guard let visibleAt else { return }
            told.append(
                .init(
                    position: node.real.log.lastWrite, visibleAt: visibleAt,
                    relation: writer.relation))
        }
    }

    // MARK: Reads

    func startRead(_ node: SimulatedNode, _ now: UInt64) {
        guard node.hits.count + node.fills.count < 4 else { return }
        let relation = below(SimulatedDatabase.relations)
        if let reply = node.real.lookup(name(relation), now: now) {
            let seen = oneIn(2) ? told.last { $0.relation == relation } : nil
            node.hits.append(.init(relation: relation, reply: reply, arrival: time, seen: seen))
            // A mirror has asked, and is sent the entry with the answer.
            if oneIn(4), node.isLeading { node.noted.append(reply) }
            return
        }
        guard let lease = node.real.cellSet(name(relation)).capture(),
            !node.real.right.isFollowing
        else { return }
        node.fills.append(.init(relation: relation, lease: lease))
    }

    func goOnReading(_ node: SimulatedNode, _ now: UInt64) throws(Violation) {
        guard !node.hits.isEmpty else { return }
        let hit = node.hits.remove(at: below(node.hits.count))
        let seen = hit.seen?.position ?? MirrorLog.Position(epoch: 0, index: 0)
        guard node.real.right.covers(now: now, seen: seen), hit.reply.isCurrent else {
            counters.refusedHits += 1
            return
        }
        count(hit, node)
        let version = Int(String(buffer: hit.reply.body)) ?? -1
        // A lease by the slowest clock.
        let oldest = hit.arrival - Self.timing.followerLease - Self.timing.followerLease / 50
        let mayBeOlder = !isSynchronous && node.real.right.isFollowing
        let start = max(mayBeOlder ? oldest : hit.arrival, hit.seen?.visibleAt ?? 0)
        guard database.held(version, hit.relation, from: start, to: time) else {
            throw Violation(
                description: "node \(node.process.node) has answered version \(version) of "
                    + "\(name(hit.relation)) at \(time), a read from \(hit.arrival), when "
                    + "\(database.version(of: hit.relation)) was current")
        }
    }

    private func count(_ hit: SimulatedNode.Hit, _ node: SimulatedNode) {
        if !node.real.right.isFollowing {
            counters.leaderHits += 1
        } else {
            counters.mirrorHits += 1
            if let source = node.upstream?.source, !source.isLeading { counters.middleHits += 1 }
            if hit.seen != nil { counters.seenHits += 1 }
        }
    }

    func fill(_ node: SimulatedNode, _ now: UInt64) {
        if !node.noted.isEmpty, oneIn(2) {
            node.real.log.stored(node.noted.removeFirst())
            return
        }
        guard !node.fills.isEmpty else { return }
        let index = below(node.fills.count)
        guard let version = node.fills[index].version else {
            node.fills[index].version = database.version(of: node.fills[index].relation)
            return
        }
        let fill = node.fills.remove(at: index)
        node.real.store(name(fill.relation), "\(version)", under: fill.lease, now: now)
    }
}
