import Mutants
import NIOCore
import ResultCache
import TestSupport

@testable import Replication

/// Three nodes that mirror one another in front of one database, on one thread and under one seed:
/// clocks, pauses, lost connections, delays, restarts and the lock are chance; the cache, the log,
/// the leases, what is sent and how it is applied are the product's.
///
/// What is checked: an answer from memory is what the database held at some instant of the read's
/// time where commits wait for mirrors, and no older than a lease where they do not; and nobody is
/// answered with less than they have seen.
final class MirrorSimulation {
    struct Violation: Error, CustomStringConvertible {
        var description: String
    }

    struct Counters {
        var steps = 0
        var commits = 0
        var leaderHits = 0
        var mirrorHits = 0
        var middleHits = 0
        var refusedHits = 0
        var waits = 0
        var withheld = 0
        var warm = 0
        var cold = 0
        var stepsDown = 0
        var gaps = 0
        var restarts = 0
        var seenHits = 0

        static let all: [(String, any KeyPath<Counters, Int> & Sendable)] = [
            ("commits", \.commits), ("hits at the leader", \.leaderHits),
            ("hits at a mirror", \.mirrorHits), ("hits behind a mirror", \.middleHits),
            ("hits without a right", \.refusedHits), ("commits that waited", \.waits),
            ("commits without a term", \.withheld), ("take-overs with the mirror", \.warm),
            ("take-overs without", \.cold), ("steps down", \.stepsDown), ("gaps", \.gaps),
            ("restarts", \.restarts), ("hits of who had seen a write", \.seenHits),
        ]

        static func += (sum: inout Counters, more: Counters) {
            sum.steps += more.steps
            sum.commits += more.commits
            sum.leaderHits += more.leaderHits
            sum.mirrorHits += more.mirrorHits
            sum.middleHits += more.middleHits
            sum.refusedHits += more.refusedHits
            sum.waits += more.waits
            sum.withheld += more.withheld
            sum.warm += more.warm
            sum.cold += more.cold
            sum.stepsDown += more.stepsDown
            sum.gaps += more.gaps
            sum.restarts += more.restarts
            sum.seenHits += more.seenHits
        }
    }

    static let timing = LeadershipTiming(lease: 4000)

    let isSynchronous: Bool
    var chance: SeededGenerator
    var time: UInt64 = 1_000_000
    var database = SimulatedDatabase()
    var nodes: [SimulatedNode] = []
    var told: [SimulatedWrite] = []
    var counters = Counters()
    var lastNumber = 0

    /// How much time passes, and how often something fails: each world has its own mixture, because
    /// what one mixture never shows another does often.
    private let pace: UInt64
    private let rarity: Int
    private let eagerness: Int

    init(seed: UInt64, isSynchronous: Bool) {
        self.isSynchronous = isSynchronous
        chance = SeededGenerator(seed: seed)
        pace = [4, 12, 40].randomElement(using: &chance) ?? 12
        rarity = [6, 20, 60].randomElement(using: &chance) ?? 20
        eagerness = [1, 3, 8].randomElement(using: &chance) ?? 3
        for node in 0..<3 { nodes.append(fresh(.init(node: node, life: 0))) }
    }

    /// Runs so many steps. Throws the first wrong answer.
    func run(steps: Int) throws(Violation) {
        for _ in 0..<steps {
            counters.steps += 1
            if oneIn(4) { time += UInt64(below(Int(pace))) }
            try step()
        }
    }

    func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &chance) }

    func oneIn(_ count: Int) -> Bool { below(count) == 0 }

    func number() -> Int {
        lastNumber += 1
        return lastNumber
    }

    func fresh(_ process: SimulatedDatabase.Process) -> SimulatedNode {
        SimulatedNode(
            process: process,
            clock: (UInt64(below(1000)) * 1_000_000, 1000 + UInt64(below(16))),
            // A few records fit: whoever is slow begins anew.
            real: MirroredNode(
                isSynchronous: isSynchronous, lease: Self.timing.followerLease, capacity: 1500))
    }

    private func step() throws(Violation) {
        let leading = nodes.first(where: \.isLeading)
        let node = oneIn(3) ? leading ?? nodes[below(nodes.count)] : nodes[below(nodes.count)]
        let now = node.now(time)
        switch below(100) {
        case 0..<6: moveDatabase()
        case 6: fail(node)
        case _ where node.pausedUntil > time: break
        case 7..<19: pump(node, now)
        case 19..<31: for _ in 0...below(3) { hear(node, now) }
        case 31..<41: for _ in 0...below(3) { hearFollower(node, now) }
        case 41..<46: ask(node, now)
        case 46..<52: connect(node)
        case 52..<60: lead(node, now)
        case 60..<64: if oneIn(eagerness) { startWrite(node) }
        case 64..<72: goOnWriting(node, now)
        default:
            // Reads are what is checked: all nodes go on with theirs.
            for node in nodes where node.pausedUntil <= time {
                let now = node.now(time)
                fill(node, now)
                if oneIn(2) { startRead(node, now) }
                if oneIn(2) { try goOnReading(node, now) }
            }
        }
    }

    private func fail(_ node: SimulatedNode) {
        guard oneIn(rarity) else { return }
        switch below(8) {
        case 0, 1: database.leader = nil
        case 2, 3: node.pausedUntil = time + UInt64(below(100 * Int(pace)))
        case 4: time += UInt64(below(2 * Int(Self.timing.followerLease)))
        case 5, 6: node.upstream?.end()
        default: restart(node)
        }
    }

    private func moveDatabase() {
        guard !database.sent.isEmpty else { return }
        let index = below(database.sent.count)
        if oneIn(6) {
            database.abort(index)
        } else {
            database.makeVisible(index, at: time)
            counters.commits += 1
        }
    }

    /// A process dies, and its machine starts another. What the database was sent stays there.
    private func restart(_ node: SimulatedNode) {
        node.upstream?.end()
        for connection in node.followers { connection.end() }
        counters.restarts += 1
        let process = node.process
        guard let index = nodes.firstIndex(where: { $0 === node }) else { return }
        nodes[index] = fresh(.init(node: process.node, life: process.life + 1))
    }
}
