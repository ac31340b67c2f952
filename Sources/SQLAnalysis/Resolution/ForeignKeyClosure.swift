import Mutants

/// Finds the relation families that foreign keys pass a write on to.
struct ForeignKeyClosure {
    /// What happens to rows of a family.
    enum Change: Hashable {
        case deleted
        /// nil: any column.
        case updated(Set<String>?)
        case truncated
    }

    private struct Step: Hashable {
        let family: UInt32
        let change: Change
    }

    private(set) var families: Set<UInt32>
    /// Whether a foreign key comes back to the family that it started in.
    private(set) var returns = false

    init(of start: UInt32, _ action: WriteTarget.Action, in catalog: PostgreSQLCatalog) {
        families = [start]
        if Mutant.cascadesIgnored.isActive { return }
        var pending = Self.changes(action).map { Step(family: start, change: $0) }
        var seen = Set(pending)
        while let step = pending.popLast() {
            for next in Self.passedOn(step, catalog.family(step.family)) {
                families.insert(next.family)
                if next.family == start { returns = true }
                if seen.insert(next).inserted { pending.append(next) }
            }
        }
    }

    private static func changes(_ action: WriteTarget.Action) -> [Change] {
        switch action {
        case .insert, .refresh, .truncate(cascade: false): []
        case .update(let columns): [.updated(columns)]
        case .delete: [.deleted]
        case .change: [.deleted, .updated(nil)]
        case .truncate(cascade: true): [.truncated]
        }
    }

    private static func passedOn(_ step: Step, _ family: PostgreSQLCatalog.Family) -> [Step] {
        family.referencedBy.flatMap { key -> [Step] in
            switch step.change {
            case .truncated: return [Step(family: key.family, change: .truncated)]
            case .deleted: return onDelete(key)
            case .updated(let assigned):
                // A trigger may assign to other columns.
                let columns = family.rewritesRows ? nil : assigned
                var steps: [Step] = []
                if key.onUpdate != .none, mayChange(key.referencedColumns, columns) {
                    steps.append(Step(family: key.family, change: .updated(key.columns)))
                }
                // To another partition a row moves by being deleted here and inserted there, which
                // before version 15 counts as a deletion.
                if family.isTree { steps += onDelete(key) }
                return steps
            }
        }
    }

    private static func mayChange(_ columns: Set<String>?, _ assigned: Set<String>?) -> Bool {
        guard let columns, let assigned else { return true }
        return !columns.isDisjoint(with: assigned)
    }

    private static func onDelete(_ key: PostgreSQLCatalog.Reference) -> [Step] {
        switch key.onDelete {
        case .none: []
        case .set: [Step(family: key.family, change: .updated(key.columns))]
        case .cascade: [Step(family: key.family, change: .deleted)]
        }
    }
}
