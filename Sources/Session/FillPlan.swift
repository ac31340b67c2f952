import NIOCore
import ResultCache
import SQLAnalysis

/// What there is to know, before any execution, about storing the replies of one statement: the
/// rules' decision and the cells. Derived once for each profile and version of the options.
final class FillPlan: Sendable {
    /// Rows of one relation that the answer depends on, by key.
    private struct KeyedDependency: Sendable {
        let rows: KeyedRows
        let columns: KeyedColumns
        /// What to depend on where the key cannot be told, or not be relied on yet. That is always
        /// right, because each write moves it, whatever else it moves.
        let all: VersionCell

        func add(_ parameters: some KeyParameters, to cells: inout [VersionCell]) {
            let start = cells.count
            cells.append(columns.wide)
            guard addKeys(parameters, to: &cells) else {
                cells.removeLast(cells.count - start)
                cells.append(all)
                return
            }
        }

        private func addKeys(
            _ parameters: some KeyParameters, to cells: inout [VersionCell]
        ) -> Bool {
            if rows.columns.count == 1 {
                // The common case, without an array for each tuple.
                let limit = cells.count + KeyedRows.maximumTuples
                for tuple in rows.tuples {
                    guard let values = tuple[0].values(in: parameters) else { return false }
                    for value in values { cells.append(columns.cell(of: CollectionOfOne(value))) }
                    guard cells.count <= limit else { return false }
                }
                return true
            }
            guard let tuples = rows.values(in: parameters) else { return false }
            for tuple in tuples { cells.append(columns.cell(of: tuple)) }
            return true
        }
    }

    let decision: CacheDecision
    /// What every execution depends on.
    private let fixed: CellSet
    private let keyed: [KeyedDependency]
    /// All cells, where they are the same for every execution once the columns are ready.
    private let constant: CellSet?
    private let optionsVersion: UInt64

    private init(
        _ statement: StatementProfile?, text: String, database: String, services: SessionServices,
        optionsVersion: UInt64
    ) {
        let readSet = statement?.readSet ?? []
        decision = services.options.policy(readSet, text)
        self.optionsVersion = optionsVersion
        var fixed = [
            services.cells.cell(.cluster), services.cells.cell(.schema(database: database)),
        ]
        var keyed: [KeyedDependency] = []
        for dependency in statement?.dependencies ?? [] {
            let relation = dependency.relation.rawValue
            let all = services.cells.cell(.all(database: database, relation: relation))
            if case .keyed(let rows) = dependency.scope,
                let columns = services.coordinator.registry.keyed(
                    by: rows.columns, relation: relation, database: database)
            {
                keyed.append(KeyedDependency(rows: rows, columns: columns, all: all))
            } else {
                fixed.append(all)
            }
        }
        // A family that none of them names would be one too few.
        let named = Set(statement?.dependencies.map(\.relation) ?? [])
        for relation in readSet where !named.contains(relation.identifier) {
            let identifier = relation.identifier.rawValue
            fixed.append(services.cells.cell(.all(database: database, relation: identifier)))
        }
        // Who depends on all rows of a relation gains nothing by depending on some of them.
        keyed.removeAll { fixed.contains($0.all) }
        self.fixed = CellSet(fixed)
        self.keyed = keyed
        if keyed.contains(where: \.rows.namesParameters) {
            constant = nil
        } else {
            var cells: [VersionCell] = []
            for dependency in keyed { dependency.add(NoParameters(), to: &cells) }
            constant = self.fixed.union(cells)
        }
    }

    /// The plan for the one statement of `profile`, which must be a cacheable one. `database` is
    /// the one that the profile was made for.
    static func plan(
        for profile: QueryProfile, text: String, database: String, services: SessionServices
    ) -> FillPlan {
        let version = services.optionsVersion
        if let known = profile.derived.withLock({ $0 }) as? FillPlan,
            known.optionsVersion == version
        {
            return known
        }
        let plan = FillPlan(
            profile.statements.first, text: text, database: database, services: services,
            optionsVersion: version)
        profile.derived.withLock { $0 = plan }
        return plan
    }

    /// The cells of one execution (design §4, A read's cells), to be captured after this call.
    /// `bindTail` is what follows the names in its Bind message; nil where it has none.
    func cells(bindTail: ByteBuffer?, textIsUTF8: Bool) -> CellSet {
        if keyed.isEmpty { return fixed }
        // Where columns are not ready, a writer that they wait for has `all` open, so that almost
        // always there is no lease either.
        if keyed.allSatisfy(\.columns.isReady) {
            if let constant { return constant }
            if let bindTail {
                let parameters = BoundParameters(bindTail, textIsUTF8: textIsUTF8)
                var cells: [VersionCell] = []
                for dependency in keyed { dependency.add(parameters, to: &cells) }
                return fixed.union(cells)
            }
        }
        return fixed.union(keyed.map(\.all))
    }
}
