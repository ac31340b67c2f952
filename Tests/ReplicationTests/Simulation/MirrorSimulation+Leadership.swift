import ResultCache

@testable import Replication

// The steps of `LeadershipService`, each on its own.
extension MirrorSimulation {
    func lead(_ node: SimulatedNode, _ now: UInt64) {
        if node.isLeading { return renew(node, now) }
        switch node.takeOver {
        case .none:
            guard database.leader == nil || database.leader == node.process else { return }
            database.leader = node.process
            node.takeOver = .granted
        case .granted:
            node.takeOver = .waiting(acquired: now, end: Self.timing.endOfTerm(since: now))
        case .waiting(let acquired, let end):
            guard now >= end else { return }
            database.endSessions(otherThanOf: node.process)
            node.takeOver = .ended(acquired: acquired, end: end)
        case .ended(let acquired, let end):
            node.upstream?.end()
            let isWarm = isSynchronous && node.real.right.lasts(beyond: end)
            node.real.takeOver(
                isWarm: isWarm, leasesEnd: Self.timing.endOfLeases(since: acquired),
                epoch: UInt64(number()))
            node.takeOver = .none
            node.isLeading = true
            if isWarm { counters.warm += 1 } else { counters.cold += 1 }
        }
    }

    private func renew(_ node: SimulatedNode, _ now: UInt64) {
        switch node.question {
        case nil: node.question = (now, nil)
        case (let asked, nil)?: node.question = (asked, database.leader == node.process)
        case (let asked, true?)?:
            node.real.right.lead(until: asked + Self.timing.term)
            node.question = nil
        case (_, false?)?:
            node.question = nil
            stepDown(node)
        }
    }

    private func stepDown(_ node: SimulatedNode) {
        counters.stepsDown += 1
        let real = node.real
        real.right.revoke()
        node.isLeading = false
        // Its links are ended: what was sent over them has become visible, or never will.
        database.endSessions(of: node.process)
        node.fills = []
        for writer in node.writers { real.close(writer.window) }
        node.writers = []
        let nowhere = MirrorLog.Position(epoch: 0, index: 0)
        real.right.follow(nowhere)
        real.log.follow(from: nowhere, open: [:])
    }
}
