/// The committed states of the model database, one for each transaction that became visible.
final class ModelDatabase {
    private(set) var current = DatabaseState()
    /// How many transactions have become visible.
    private(set) var version = 0
    /// The state of each version since `firstVersion`.
    private var history: [DatabaseState]
    private var firstVersion = 0
    /// Beyond those of the rows that there are at first.
    private var lastStamp: Int32 = 1_000
    /// Of each table, the version in which it last changed.
    private(set) var lastChange = Array(repeating: 0, count: ModelTable.allCases.count)

    init() {
        history = [current]
    }

    func nextStamp() -> Int32 {
        lastStamp += 1
        return lastStamp
    }

    /// Makes a transaction visible. `before` is told which tables it changes, one bit each, just
    /// before it does. Throws, with nothing changed, where a constraint is found violated only now.
    func commit(
        _ effects: [Effect], before: (_ changed: UInt32) -> Void
    ) throws(ConstraintViolation) {
        var next = current
        var changed: UInt32 = 0
        for effect in effects { try next.apply(effect, changed: &changed) }
        before(changed)
        current = next
        version += 1
        history.append(next)
        for table in ModelTable.allCases where changed & 1 << UInt32(table.rawValue) != 0 {
            lastChange[table.rawValue] = version
        }
    }

    func state(_ version: Int) -> DatabaseState { history[version - firstVersion] }

    /// Forgets the states before `oldest`.
    func forget(before oldest: Int) {
        guard oldest - firstVersion > 256 else { return }
        history.removeFirst(oldest - firstVersion)
        firstVersion = oldest
    }
}
