import NIOCore
import PostgresWire

/// One statement with its parameters.
struct Call {
    let statement: ModelStatement
    var parameters: [Int32?] = []
}

/// What a client is going to send as one request.
struct PlannedRequest {
    var calls: [Call]
    var isSimple: Bool
    /// Only when all earlier requests have been answered.
    var waits = true
}

/// What clients do next.
extension SimulatedClient {
    private var chance: Chance { simulation.chance }
    private var features: Features { simulation.features }
    private var texts: StatementTexts { simulation.texts }

    /// Whether there is something that it may send now.
    var canAct: Bool {
        guard isGreeted, !isClosed else { return false }
        if requests.isEmpty { return true }
        return requests.count < 6 && !(plan.first?.waits ?? true)
    }

    /// Sends the next request of its plan, having made a new plan where there is none.
    func act() {
        if plan.isEmpty {
            // Between two units no block is left open.
            plan = status == .idle ? newUnit() : [ending()]
        }
        send(plan.removeFirst())
    }

    private func ending() -> PlannedRequest {
        let text = status == .failed || chance.permille(500) ? "ROLLBACK" : "COMMIT"
        return request([call(text)])
    }

    private func newUnit() -> [PlannedRequest] {
        switch chance.below(1_000) {
        case ..<features.blockShare: return block()
        case ..<(features.blockShare + features.settingShare):
            return [request([Call(statement: chance.pick(features.settings))])]
        case ..<(features.blockShare + features.settingShare + features.pipelineShare):
            return (0..<(2 + chance.below(3))).map { index in
                var one = request([any()])
                one.waits = index == 0
                return one
            }
        default: break
        }
        switch chance.below(1_000) {
        case ..<features.segmentShare:
            let calls = (0..<(2 + chance.below(3))).map { _ in any() }
            return [PlannedRequest(calls: calls, isSimple: false)]
        case ..<(features.segmentShare + features.stringShare): return [string()]
        default: return [request([any()])]
        }
    }

    private func call(_ text: String) -> Call {
        Call(statement: texts.byText[text] ?? StatementTexts.probe)
    }

    private func any() -> Call {
        chance.permille(features.writeShare) ? write() : read()
    }

    private func read() -> Call { filled(chance.pick(features.reads)) }
    private func write() -> Call { filled(chance.pick(features.writes)) }

    private func filled(_ statement: ModelStatement) -> Call {
        let values = statement.keyValues
        return Call(
            statement: statement,
            parameters: (0..<statement.parameterCount).map { _ in
                chance.permille(20) && statement.isRead ? nil : chance.pick(values)
            })
    }

    private func request(_ calls: [Call]) -> PlannedRequest {
        let mustBind = calls.contains { $0.statement.parameterCount > 0 }
        return PlannedRequest(
            calls: calls, isSimple: !mustBind && chance.permille(features.simpleShare))
    }

    /// Several statements in one simple Query.
    private func string() -> PlannedRequest {
        let plain = { (statements: [ModelStatement]) in
            statements.filter { $0.parameterCount == 0 }
        }
        let (reads, writes) = (plain(features.reads), plain(features.writes))
        var calls: [Call] = []
        for _ in 0..<(2 + chance.below(2)) {
            let pool = chance.permille(500) ? reads : writes
            if !pool.isEmpty { calls.append(Call(statement: chance.pick(pool))) }
        }
        if chance.permille(300) { calls = [call("BEGIN")] + calls + [call("COMMIT")] }
        if calls.isEmpty { calls = [call("SELECT 1")] }
        return PlannedRequest(calls: calls, isSimple: true)
    }

    // MARK: Blocks

    private func block() -> [PlannedRequest] {
        var unit: [PlannedRequest] = []
        if chance.permille(features.repeatableBlocks) {
            unit.append(request([call("BEGIN ISOLATION LEVEL REPEATABLE READ")]))
        } else {
            let begin = ["BEGIN", "BEGIN ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"]
            unit.append(request([call(chance.pick(begin))]))
            if features.repeatableBlocks > 0, chance.permille(100) {
                unit.append(request([call("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")]))
            }
        }
        for _ in 0..<(1 + chance.below(4)) { unit.append(request([inBlock()])) }
        if chance.permille(150) { addSavepoint(to: &unit) }
        let ending = chance.weighted([70, 10, 20])
        unit.append(request([call(["COMMIT", "END", "ROLLBACK"][ending])]))
        if features.pipelineShare > 0, chance.permille(200) {
            for index in unit.indices.dropFirst() { unit[index].waits = false }
        }
        return unit
    }

    private func inBlock() -> Call {
        if features.settingShare > 0, chance.permille(60) {
            let settings = features.settings.filter { $0.meaning != .discardAll }
            if !settings.isEmpty { return Call(statement: chance.pick(settings)) }
        }
        return chance.permille(400) ? write() : read()
    }

    private func addSavepoint(to unit: inout [PlannedRequest]) {
        unit.append(request([call("SAVEPOINT s")]))
        unit.append(request([inBlock()]))
        let ending = chance.permille(600) ? "ROLLBACK TO SAVEPOINT s" : "RELEASE SAVEPOINT s"
        unit.append(request([call(ending)]))
        unit.append(request([read()]))
    }
}

extension ModelStatement {
    /// What its parameters may be.
    var keyValues: [Int32] {
        switch meaning {
        case .read(.pairs), .write(.touchPairs): DatabaseState.pairKeys
        case .read(.rows(let source, _)): source.keyValues
        case .write(.touch(let source, _)), .write(.move(let source, from: _, to: _)),
            .write(.insert(let source, _)), .write(.upsert(let source, _)),
            .write(.delete(let source, _)):
            source.keyValues
        default: [1, 2, 3]
        }
    }
}

extension Source {
    fileprivate var keyValues: [Int32] {
        switch self {
        case .item, .table: [1, 2, 3]
        case .low: [1, 2]
        case .high: [3, 4]
        }
    }
}
